// SPDX-License-Identifier: Apache-2.0
// Routers of published systems against their formulas: whole batches, masks, noise, directions.
#include <xmoe/recipes/dense_to_sparse.hpp>
#include <xmoe/recipes/expert_choice.hpp>
#include <xmoe/recipes/grin.hpp>
#include <xmoe/recipes/mask_moe.hpp>
#include <xmoe/recipes/mote.hpp>
#include <xmoe/recipes/noisy_top_k.hpp>
#include <xmoe/recipes/usmoe.hpp>
#include <xmoe/recipes/x_moe_cosine.hpp>

#include "recipes/router_case.hpp"

namespace tests {
namespace {

using xmoe::Mode;
namespace recipes = xmoe::recipes;
using D = xmoe::Cpu<double>;

constexpr double infinity = std::numeric_limits<double>::infinity();

Row raw_best(const Row& z, std::size_t k) {
  const Row p = softmax(z);
  return only(p, best(p, k));
}

TEST_CASE("recipe expert_choice: every expert takes its best tokens", "[recipes]") {
  const auto p = recipes::expert_choice::defaults<D>();
  const auto columns = [](const Table& z) {
    Table s, w;
    for (const Row& row : z) {
      s.push_back(softmax(row));
      w.emplace_back(row.size(), absent);
    }
    for (std::size_t e = 0; e < 8; ++e) {
      Row column;
      for (const Row& row : s) {
        column.push_back(row[e]);
      }
      for (const std::size_t t : best(column, 3)) {  // 2 * 12 / 8
        w[t][e] = s[t][e];
      }
    }
    return w;
  };
  check_router(p.config.router, linear, columns, each([](const Row& z) { return raw_best(z, 2); }));
}

TEST_CASE("recipe usmoe: the largest pairs of a sequence", "[recipes]") {
  auto p = recipes::usmoe::defaults<D>();
  CHECK(p.config.router.select.k == 8);
  p.config.router.select.k = 2;
  const auto blend = [](const Row& z) {
    Row s = softmax(z);
    for (std::size_t e = 0; e < s.size(); ++e) {
      s[e] = 0.5 * s[e] + 0.5 * (2.0 / 8.0) / (1.0 + std::exp(-z[e]));
    }
    return s;
  };
  const auto pairs = [&](const Table& z) {
    Row s;
    for (const Row& row : z) {
      const Row b = blend(row);
      s.insert(s.end(), b.begin(), b.end());
    }
    const Row w = only(s, best(s, 2 * z.size()));
    Table table;
    for (auto at = w.begin(); at != w.end(); at += 8) {
      table.emplace_back(at, at + 8);
    }
    return table;
  };
  check_router(p.config.router, linear, pairs,
               each([&](const Row& z) { return only(blend(z), best(blend(z), 2)); }));
}

TEST_CASE("recipe mask_moe: softmax over the experts that a word may use", "[recipes]") {
  auto p = recipes::mask_moe::defaults<D>();
  const std::vector<std::uint8_t> words = {1, 1, 1, 1, 1, 1, 1, 1,  // a frequent one
                                           0, 1, 0, 1, 0, 0, 1, 0,  //
                                           0, 0, 0, 0, 0, 1, 0, 0};
  p.config.router.gate.adjust.allowed = {words.data(), 3, 8};
  p.config.router.select.k = 2;
  const auto rule = [&](bool before_softmax) {
    return [&words, before_softmax](const Table& z) {
      Table all;
      for (std::size_t t = 0; t < z.size(); ++t) {
        Row masked = z[t], seen;
        std::vector<std::size_t> chosen;
        for (std::size_t e = 0; e < 8; ++e) {
          masked[e] = words[t % 3 * 8 + e] != 0 ? masked[e] : -infinity;
        }
        for (const std::size_t e : best(masked, 2)) {
          if (masked[e] > -infinity) {
            chosen.push_back(e);
          }
        }
        all.push_back(only(softmax(before_softmax ? masked : z[t]), chosen));
      }
      return all;
    };
  };
  check_router(p.config.router, linear, rule(true), rule(false));
}

/// DeepSeek's gate: keys s + b, two of four groups by the sum of their two best, three experts.
/// Masked logits are -Inf; forced experts have the key +Inf.
Row tuned(const Row& z, const Row& bias, std::ptrdiff_t forced) {
  Row s, key;
  for (std::size_t e = 0; e < 8; ++e) {
    s.push_back(1.0 / (1.0 + std::exp(-z[e])));
    key.push_back(z[e] == -infinity ? -infinity : s[e] + bias[e]);
  }
  if (forced >= 0) {
    key[static_cast<std::size_t>(forced)] = 1e9;
  }
  Row group;
  for (std::size_t g = 0; g < 4; ++g) {
    group.push_back(std::max(key[2 * g], -1e3) + std::max(key[2 * g + 1], -1e3));
    const bool one = key[2 * g] == -infinity || key[2 * g + 1] == -infinity;
    group.back() += one ? 1e3 : 0.0;  // what may not be chosen counts for nothing
  }
  const auto kept = best(group, 2);
  Row inside(8, -infinity);
  for (const std::size_t g : kept) {
    inside[2 * g] = key[2 * g];
    inside[2 * g + 1] = key[2 * g + 1];
  }
  Row w = shares(only(s, best(inside, 3)));
  for (double& v : w) {
    v = v == absent ? absent : 2.5 * v;
  }
  return w;
}

TEST_CASE("recipe mote: suppressed and forced experts", "[recipes]") {
  auto p = recipes::mote::defaults<D>();
  auto& router = p.config.router;
  auto& groups = router.select.inner.inner;
  CHECK(groups.inner.k == 8);
  CHECK(groups.groups == 8);
  groups.groups = 4;
  groups.limit = 2;
  groups.inner.k = 3;
  Row bias;
  const auto logits = [&](const auto& c, index t) {
    bias = flat(rows(c.own.select.bias));
    return linear(c, t);
  };
  const auto plan = [&](std::ptrdiff_t suppressed, std::ptrdiff_t forced) {
    return each([&bias, suppressed, forced](Row z) {
      if (suppressed >= 0) {
        z[static_cast<std::size_t>(suppressed)] = -infinity;
      }
      return tuned(z, bias, forced);
    });
  };
  check_router(router, logits, plan(-1, -1), plan(5, -1));  // an empty plan changes nothing
  const std::vector<std::uint8_t> allowed = {1, 1, 1, 1, 1, 0, 1, 1};
  router.gate.adjust.allowed = {allowed.data(), 1, 8};
  check_router(router, logits, plan(5, -1), plan(-1, -1));
  const std::vector<std::uint8_t> forced = {0, 0, 1, 0, 0, 0, 0, 0};
  router.select.experts = in(forced);
  check_router(router, logits, plan(5, 2), plan(5, -1));
}

TEST_CASE("recipe x_moe_cosine: directions of experts in a narrow space", "[recipes]") {
  auto p = recipes::x_moe_cosine::defaults<D>();
  CHECK(p.config.router.gate.dim == 16);
  p.config.router.gate.dim = 3;
  const auto logits = [](bool unit_query) {
    return [unit_query](const auto& c, index t) {
      const Row q = affine(rows(c.own.gate.projection.weight), {}, c.token(t));
      Row z;
      for (const Row& key : rows(c.own.gate.inner.keys.weight)) {
        const double length = std::sqrt(dot(key, key) * (unit_query ? dot(q, q) : 1.0));
        z.push_back(dot(q, key) / length);
      }
      return z;
    };
  };
  const auto top = each([](const Row& z) { return raw_best(z, 1); });
  const auto wrong = each([](const Row& z) { return raw_best(Row(z.size(), 0.0), 1); });
  check_router(p.config.router, logits(false), top, wrong);
  p.config.router.gate.inner.normalize_query = true;  // the paper's cosine
  p.config.router.gate.inner.learn_scale = true;
  check_router(
      p.config.router,
      [&](const auto& c, index t) {
        Row z = logits(true)(c, t);
        for (double& v : z) {
          v *= std::exp(c.own.gate.inner.theta.at(0, 0, 0));
        }
        return z;
      },
      top, wrong);
}

/// The two best experts, each with its probability among those near it that are left.
Row near_best(const Row& z, double margin) {
  Row w(z.size(), absent);
  for (int rank = 0; rank < 2; ++rank) {
    double top = -infinity, sum = 0.0;
    std::size_t first = 0;
    for (std::size_t e = 0; e < z.size(); ++e) {
      if (w[e] == absent && z[e] > top) {
        top = z[e];
        first = e;
      }
    }
    for (std::size_t e = 0; e < z.size(); ++e) {
      if (w[e] == absent && (top - z[e]) / std::max(std::abs(z[e]), top) <= 2.0 * margin) {
        sum += std::exp(z[e] - top);
      }
    }
    w[first] = 1.0 / sum;
  }
  return w;
}

TEST_CASE("recipe grin: softmax over the near ones, rank by rank", "[recipes]") {
  auto p = recipes::grin::defaults<D>();
  CHECK(p.config.router.select.margin == 0.1f);
  p.config.router.select.margin = p.config.router.weigh.margin = 0.25f;
  check_router(p.config.router, linear, each([](const Row& z) { return near_best(z, 0.25); }),
               each([](const Row& z) { return near_best(z, 0.1); }),
               {.differentiable_noise = false});
  RouterCase c(p.config.router, 1);
  const Row sure = flat(c.decide());
  c.work.mode = Mode::train;
  CHECK(relative_error(flat(c.decide()), sure) > 1e-2);  // draws
}

TEST_CASE("recipe noisy_top_k: softmax over the picked noisy logits", "[recipes]") {
  auto p = recipes::noisy_top_k::defaults<D>();
  p.config.router.select.k = 3;
  const auto rule = each([](const Row& z) {
    Row w = softmax(z);
    return shares(only(w, best(w, 3)));
  });
  const auto clean = [](const auto& c, index t) {
    return affine(rows(c.own.gate.inner.weight), {}, c.token(t));
  };
  check_router(p.config.router, clean, rule, each([](const Row& z) { return raw_best(z, 3); }));
  RouterCase c(p.config.router, 4);
  c.work.mode = Mode::train;
  Row logits;
  const Row got = flat(c.decide(&logits));
  Table noisy;
  double spread = 0.0;
  for (index t = 0; t + 1 < c.tokens; ++t) {
    noisy.emplace_back(logits.begin() + 8 * t, logits.begin() + 8 * t + 8);
    const Row z = clean(c, t);
    const Row v = affine(rows(c.own.gate.noise.weight), {}, c.token(t));
    for (std::size_t e = 0; e < 8; ++e) {  // the noise in units of its deviation
      spread += std::pow((noisy.back()[e] - z[e]) / (std::log1p(std::exp(v[e])) + 0.01), 2) / 96.0;
    }
  }
  CHECK(relative_error(got, flat(rule(noisy))) < 1e-12);
  CHECK(spread == Approx(1.0).epsilon(0.3));
}

TEST_CASE("recipe dense_to_sparse: all that a sharpened softmax leaves", "[recipes]") {
  auto p = recipes::dense_to_sparse::defaults<D>();
  p.config.router.gate.adjust.temperature = 0.5f;
  p.config.router.select.level = 0.05f;
  const auto rule = [](double temperature) {
    return each([temperature](Row z) {
      for (double& v : z) {
        v /= temperature;
      }
      const Row s = softmax(z);
      std::vector<std::size_t> chosen = best(s, 1);
      for (std::size_t e = 0; e < s.size(); ++e) {
        if (s[e] > static_cast<double>(0.05f)) {
          chosen.push_back(e);
        }
      }
      return only(s, chosen);
    });
  };
  check_router(p.config.router, linear, rule(0.5), rule(1.0));
  RouterCase c(p.config.router, 1);
  const Row sure = flat(c.decide());
  c.work.mode = Mode::train;
  CHECK(relative_error(flat(c.decide()), sure) > 1e-2);  // noise
}

}  // namespace
}  // namespace tests
