// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

// The router of a recipe alone, against a formula that knows nothing of policies.
namespace tests {

using Row = std::vector<double>;
using Pick = std::pair<index, double>;  ///< expert, weight
using Picks = std::vector<Pick>;
/// One token's choice, best first, from its logits and the bias of the order (may be empty).
using Formula = std::function<Picks(const Row& logits, const Row& bias)>;

inline Row softmax(Row z) {
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0.0;
  for (double& v : z) {
    sum += v = std::exp(v - top);
  }
  for (double& v : z) {
    v /= sum;
  }
  return z;
}
inline Row sigmoid(Row z) {
  for (double& v : z) {
    v = 1.0 / (1.0 + std::exp(-v));
  }
  return z;
}
/// Indices, largest key first, equal ones by index.
inline std::vector<index> descending(const Row& keys) {
  std::vector<index> order(keys.size());
  std::iota(order.begin(), order.end(), index(0));
  std::stable_sort(order.begin(), order.end(), [&](index a, index b) {
    return keys[static_cast<std::size_t>(a)] > keys[static_cast<std::size_t>(b)];
  });
  return order;
}
/// w = scale p / sum over the choice of p, or scale p, on the k largest of p + bias.
inline Picks best(const Row& p, const Row& bias, index k, double scale, bool divided) {
  Row keys = p;
  for (std::size_t e = 0; e < bias.size(); ++e) {
    keys[e] += bias[e];
  }
  std::vector<index> chosen = descending(keys);
  chosen.resize(static_cast<std::size_t>(k));
  double sum = 0.0;
  for (const index e : chosen) {
    sum += p[static_cast<std::size_t>(e)];
  }
  Picks picks;
  for (const index e : chosen) {
    picks.push_back({e, scale * p[static_cast<std::size_t>(e)] / (divided ? sum : 1.0)});
  }
  return picks;
}
inline Formula raw(index k, double scale = 1.0) {
  return [=](const Row& z, const Row& b) { return best(softmax(z), b, k, scale, false); };
}
inline Formula divided(index k, double scale = 1.0) {
  return [=](const Row& z, const Row& b) { return best(softmax(z), b, k, scale, true); };
}
/// The k largest logits, softmax over them.
inline Formula picked(index k) {
  return [=](const Row& z, const Row&) {
    std::vector<index> chosen = descending(z);
    chosen.resize(static_cast<std::size_t>(k));
    Row own;
    for (const index e : chosen) {
      own.push_back(z[static_cast<std::size_t>(e)]);
    }
    own = softmax(own);
    Picks picks;
    for (std::size_t r = 0; r < own.size(); ++r) {
      picks.push_back({chosen[r], own[r]});
    }
    return picks;
  };
}
/// k times the largest of those left, with its softmax among those left that lie close to it:
/// (m - z) <= 2 margin max(|z|, m).
inline Formula near_best(index k, double margin) {
  return [=](Row z, const Row&) {
    Picks picks;
    for (index r = 0; r < k; ++r) {
      const auto top = std::max_element(z.begin(), z.end());
      double sum = 0.0;
      for (const double v : z) {
        sum += *top - v <= 2.0 * margin * std::max(std::abs(v), *top) ? std::exp(v - *top) : 0.0;
      }
      picks.push_back({top - z.begin(), 1.0 / sum});
      *top = -1e30;
    }
    return picks;
  };
}

struct RouterRun {
  xmoe::Mode mode = xmoe::Mode::infer;
  double slope = 1.0;  ///< what the rule of the gradient multiplies the slope of the weights by
};

/// A router of E experts with numbers in all of its tensors, and what it made of a batch.
template <class Router>
class RoutedBatch {
 public:
  using Own = xmoe::weights_of<Router, xmoe::Cpu<double>>;

  RoutedBatch(const Router& router, index dim, index experts, RouterRun run)
      : router_(router),
        dim_(dim),
        experts_(experts),
        own_(xmoe::detail::make_weights<xmoe::Cpu<double>>(router, {dim, experts, 1})) {
    work_.mode = run.mode;
    router.check({dim, experts, 1});
  }
  Own& own() { return own_; }

  std::vector<Picks> forward(const Row& x, const std::vector<std::int32_t>& ids = {}) {
    auto ctx = work_.context();
    const index tokens = static_cast<index>(x.size()) / dim_;
    const auto decision = router_.forward(ctx, own_, batch(x, ids), experts_);
    const auto& r = decision.routing;
    REQUIRE((r.tokens == tokens && r.offsets[0] == 0 && r.valid_tokens == tokens));
    REQUIRE(decision.logits.rows() == tokens);
    REQUIRE(decision.logits.cols() == experts_);
    REQUIRE(r.assignments() <= router_.max_assignments(tokens, experts_));
    std::vector<Picks> rows;
    for (index t = 0; t < tokens; ++t) {
      rows.emplace_back();
      for (index a = r.begin(t); a < r.end(t); ++a) {
        REQUIRE((r.expert[a] >= 0 && r.expert[a] < experts_));
        rows.back().push_back({r.expert[a], r.weight[a]});
      }
    }
    return rows;
  }
  /// dx for dL/dw = g, one number an assignment.
  Row backward(const Row& x, const Row& g, const std::vector<std::int32_t>& ids = {}) {
    auto ctx = work_.context();
    const index tokens = static_cast<index>(x.size()) / dim_;
    const auto decision = router_.forward(ctx, own_, batch(x, ids), experts_);
    REQUIRE(decision.routing.assignments() == static_cast<index>(g.size()));
    Row dx(x.size(), 0.0);
    Own gradients = own_;
    router_.backward(ctx, own_, batch(x, ids), decision,
                     xmoe::DecisionGradient<double>{in(g), {}, {}}, gradients,
                     xmoe::Out<double>(dx.data(), tokens, dim_));
    return dx;
  }

 private:
  xmoe::Batch<double> batch(const Row& x, const std::vector<std::int32_t>& ids) const {
    return {xmoe::In<double>(x.data(), static_cast<index>(x.size()) / dim_, dim_), {}, in(ids)};
  }

  Router router_;
  index dim_, experts_;
  Own own_;
  Work<double> work_{};
};

/// Largest difference of the weights; infinite where experts differ.
inline double distance(const std::vector<Picks>& got, const std::vector<Picks>& want) {
  double worst = got.size() == want.size() ? 0.0 : std::numeric_limits<double>::infinity();
  for (std::size_t t = 0; t < std::min(got.size(), want.size()); ++t) {
    for (std::size_t r = 0; r < std::max(got[t].size(), want[t].size()); ++r) {
      const bool same = got[t].size() == want[t].size() && got[t][r].first == want[t][r].first;
      worst = std::max(worst, same ? std::abs(got[t][r].second - want[t][r].second)
                                   : std::numeric_limits<double>::infinity());
    }
  }
  return worst;
}

/// Choice, weights and dx of random tokens: as `right` says, and not as `wrong` does.
template <class Router>
void check_router(const Router& router, const Formula& right, const Formula& wrong,
                  RouterRun run = {}, index experts = 8) {
  const index dim = 6, tokens = 11;
  INFO("seed 3, " << experts << " experts");
  Generator random(3);
  RoutedBatch<Router> routed(router, dim, experts, run);
  const Row w = normals(random, experts * dim), x = normals(random, tokens * dim);
  const Row offset = normals(random, experts, 0.5), bias = normals(random, experts, 0.3);
  auto& gate = routed.own().gate;
  gate.weight.load(w);
  const bool has_offset = gate.bias.count() > 0;
  if (has_offset) {
    gate.bias.load(offset);
  }
  Row order(static_cast<std::size_t>(experts), 0.0);
  if constexpr (requires { routed.own().select.bias; }) {
    routed.own().select.bias.load(bias);
    order = bias;
  }
  const auto rows_by = [&](const Formula& formula) {
    std::vector<Picks> rows;
    for (index t = 0; t < tokens; ++t) {
      Row z = has_offset ? offset : Row(static_cast<std::size_t>(experts), 0.0);
      for (index i = 0; i < experts * dim; ++i) {
        z[static_cast<std::size_t>(i / dim)] +=
            w[static_cast<std::size_t>(i)] * x[static_cast<std::size_t>(t * dim + i % dim)];
      }
      rows.push_back(formula(z, order));
    }
    return rows;
  };
  const std::vector<Picks> got = routed.forward(x);
  CHECK(distance(got, rows_by(right)) < 1e-12);
  CHECK(distance(got, rows_by(wrong)) > 1e-3);

  Row g, numbers = x;
  for (const Picks& picks : got) {
    for (std::size_t r = 0; r < picks.size(); ++r) {
      g.push_back(random.normal());
    }
  }
  const auto objective = [&] {
    double value = 0.0;
    std::size_t a = 0;
    for (const Picks& picks : routed.forward(numbers)) {
      for (const Pick& pick : picks) {
        value += a < g.size() ? run.slope * g[a] * pick.second : 0.0;
        ++a;
      }
    }
    return value;
  };
  Row dx = routed.backward(x, g);
  const Row numeric = slopes(objective, numbers);
  CHECK(relative_error(dx, numeric) < 1e-6);
  for (double& v : dx) {
    v *= 1.001;
  }
  CHECK((magnitude(numeric) == 0.0 || relative_error(dx, numeric) > 1e-4));
}

/// The same for logits that are given [T,E], against figures.
template <class Router>
void check_figures(const Router& router, const reference::Matrix& z, const Row& bias,
                   const std::vector<Picks>& want, double tolerance = 1e-8) {
  RoutedBatch<Router> routed(router, z.rows, z.cols, {});
  Row w, x(static_cast<std::size_t>(z.rows * z.rows), 0.0);
  for (index e = 0; e < z.cols; ++e) {
    for (index t = 0; t < z.rows; ++t) {
      w.push_back(z(t, e));
      x[static_cast<std::size_t>(t * z.rows + t)] = 1.0;
    }
  }
  routed.own().gate.weight.load(w);
  if constexpr (requires { routed.own().select.bias; }) {
    routed.own().select.bias.load(bias);
  }
  CHECK(distance(routed.forward(x), want) < tolerance);
}

}  // namespace tests
