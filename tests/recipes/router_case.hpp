// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

// The routers of recipes at a small size, against formulas in plain double.
namespace tests {

using Row = std::vector<double>;
using Table = std::vector<Row>;  ///< of real tokens

inline constexpr double absent = -1.0;  ///< in a table of weights: the expert was not chosen

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
/// Indices from the largest number down, the lower index first.
inline std::vector<std::size_t> order(const Row& keys) {
  std::vector<std::size_t> list(keys.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i] = i;
  }
  std::stable_sort(list.begin(), list.end(),
                   [&](std::size_t a, std::size_t b) { return keys[a] > keys[b]; });
  return list;
}
/// The numbers of those chosen, absent elsewhere.
inline Row only(const Row& numbers, const std::vector<std::size_t>& chosen) {
  Row row(numbers.size(), absent);
  for (const std::size_t e : chosen) {
    row[e] = numbers[e];
  }
  return row;
}
inline std::vector<std::size_t> best(const Row& keys, std::size_t k) {
  std::vector<std::size_t> list = order(keys);
  list.resize(k);
  return list;
}
/// The same, divided by their sum.
inline Row shares(Row weights) {
  double sum = 0.0;
  for (const double w : weights) {
    sum += w == absent ? 0.0 : w;
  }
  for (double& w : weights) {
    w = w == absent ? absent : w / sum;
  }
  return weights;
}
/// A rule for one token, for all of them.
template <class Rule>
auto each(Rule rule) {
  return [rule](const Table& z) {
    Table all;
    for (const Row& row : z) {
      all.push_back(rule(row));
    }
    return all;
  };
}

/// A matrix of a gate, row by row.
inline Table rows(const xmoe::Panels<double>& stack) {
  Table table;
  for (index r = 0; r < stack.rows(); ++r) {
    table.emplace_back();
    for (index c = 0; c < stack.cols(); ++c) {
      table.back().push_back(stack.at(0, r, c));
    }
  }
  return table;
}
inline double dot(const Row& a, const Row& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}
/// W x + b; b may have no rows.
inline Row affine(const Table& w, const Table& b, const Row& x) {
  Row z;
  for (std::size_t r = 0; r < w.size(); ++r) {
    z.push_back(dot(w[r], x) + (b.empty() ? 0.0 : b[r][0]));
  }
  return z;
}

/// A router with random weights and tokens, the last of which is padding.
template <class Router>
struct RouterCase {
  using Own = xmoe::weights_of<Router, xmoe::Cpu<double>>;
  static constexpr index tokens = 13, dim = 6;

  Router router;
  index experts;
  Own own;
  Row x;
  std::vector<std::uint8_t> valid;
  std::vector<std::int32_t> ids;
  Work<double> work;

  RouterCase(const Router& r, std::uint64_t seed, index e = 8)
      : router(r),
        experts(e),
        own(xmoe::detail::make_weights<xmoe::Cpu<double>>(r, {dim, e, 1})),
        valid(tokens, 1) {
    xmoe::detail::check(router, {dim, experts, 1});
    Generator random(seed);
    Own::tensors(own, [&](const char*, xmoe::Panels<double>& tensor, auto...) {
      tensor.load(normals(random, tensor.count() * tensor.rows() * tensor.cols(), 0.6));
    });
    x = normals(random, tokens * dim);
    for (index t = 0; t < tokens; ++t) {
      ids.push_back(static_cast<std::int32_t>(t % 3));
    }
    valid.back() = 0;
    for (index d = 0; d < dim; ++d) {
      x[static_cast<std::size_t>((tokens - 1) * dim + d)] *= 10.0;  // would win, if it took part
    }
    work.scratch = xmoe::Workspace(1 << 16);
    work.keep = xmoe::Workspace(1 << 15);
    work.random = xmoe::Random{seed, 5};
  }
  Row token(index t) const { return {x.begin() + t * dim, x.begin() + (t + 1) * dim}; }
  xmoe::Batch<double> batch() const {
    return {xmoe::In<double>(x.data(), tokens, dim), in(valid), in(ids)};
  }

  /// The weights [T,E] of the real tokens, and dx for the objective sum of g w.
  Table decide(Row* logits = nullptr, Row* dx = nullptr) {
    auto ctx = work.context();
    const auto decision = router.forward(ctx, own, batch(), experts);
    const auto& r = decision.routing;
    REQUIRE(r.tokens == tokens);
    REQUIRE(r.valid_tokens == tokens - 1);
    REQUIRE(r.begin(0) == 0);
    REQUIRE(r.assignments() <= router.max_assignments(tokens, experts));
    REQUIRE(r.begin(tokens - 1) == r.end(tokens - 1));
    Table weights;
    Row upstream;
    for (index t = 0; t + 1 < tokens; ++t) {
      weights.emplace_back(static_cast<std::size_t>(experts), absent);
      for (index a = r.begin(t); a < r.end(t); ++a) {
        REQUIRE(r.expert[a] >= 0);
        REQUIRE(r.expert[a] < experts);
        double& place = weights.back()[static_cast<std::size_t>(r.expert[a])];
        REQUIRE(place == absent);
        place = r.weight[a];
        upstream.push_back(slope(t, r.expert[a]));
      }
    }
    if (logits != nullptr) {
      logits->assign(decision.logits.data(), decision.logits.data() + (tokens - 1) * experts);
    }
    if (dx != nullptr) {
      dx->assign(x.size(), 0.0);
      Own gradients = xmoe::detail::make_weights<xmoe::Cpu<double>>(router, {dim, experts, 1});
      router.backward(ctx, own, batch(), decision,
                      xmoe::DecisionGradient<double>{in(upstream), {}, {}}, gradients,
                      xmoe::Out<double>(dx->data(), tokens, dim));
    }
    return weights;
  }
  double objective() {
    const Table weights = decide();
    double sum = 0.0;
    for (index t = 0; t + 1 < tokens; ++t) {
      for (index e = 0; e < experts; ++e) {
        const double w = weights[static_cast<std::size_t>(t)][static_cast<std::size_t>(e)];
        sum += w == absent ? 0.0 : slope(t, e) * w;
      }
    }
    return sum;
  }
  void check_slope(bool learns) {
    Row dx;
    decide(nullptr, &dx);
    const auto numeric = slopes([&] { return objective(); }, x);
    CHECK(relative_error(dx, numeric) < 1e-7);
    CHECK((magnitude(numeric) > 1e-3) == learns);
    for (double& v : dx) {
      v *= 1.01;  // twin
    }
    CHECK((relative_error(dx, numeric) > 1e-7) == learns);
  }

 private:
  static double slope(index t, index e) { return std::sin(static_cast<double>(3 * t + 5 * e + 1)); }
};

inline Row flat(const Table& table) {
  Row all;
  for (const Row& row : table) {
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

struct Expect {
  bool learns = true;                ///< does the task's gradient reach x
  bool differentiable_noise = true;  ///< in training too, dx is the difference
  index experts = 8;
};

/// `logits(case, x)` of one token, `want(table of logits)`, and `twin`, which must not fit.
template <class Router, class Logits, class Want, class Twin>
void check_router(const Router& router, const Logits& logits, const Want& want, const Twin& twin,
                  Expect expect = {}) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    INFO("seed " << seed);
    RouterCase<Router> c(router, seed, expect.experts);
    Table z;
    for (index t = 0; t + 1 < c.tokens; ++t) {
      z.push_back(logits(c, t));
    }
    const Row got = flat(c.decide());
    CHECK(relative_error(got, flat(want(z))) < 1e-12);
    CHECK(relative_error(got, flat(twin(z))) > 1e-2);
    c.check_slope(expect.learns);
    if (expect.differentiable_noise) {
      c.work.mode = xmoe::Mode::train;
      c.check_slope(expect.learns);
    }
  }
}

/// The logits of gate::Linear, or of one behind adjustments.
inline constexpr auto linear = [](const auto& c, index t) {
  return affine(rows(c.own.gate.weight), rows(c.own.gate.bias), c.token(t));
};

}  // namespace tests
