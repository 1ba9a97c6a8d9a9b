// SPDX-License-Identifier: Apache-2.0
// Routers of published systems against their formulas: gates, numbers of experts, groups.
#include <xmoe/recipes/adaptive_gating.hpp>
#include <xmoe/recipes/capacity_aware.hpp>
#include <xmoe/recipes/dit_moe.hpp>
#include <xmoe/recipes/dsti.hpp>
#include <xmoe/recipes/ladimo.hpp>
#include <xmoe/recipes/limoe.hpp>
#include <xmoe/recipes/sam.hpp>
#include <xmoe/recipes/self_contrast.hpp>
#include <xmoe/recipes/smoe_dropout.hpp>

#include "recipes/router_case.hpp"

namespace tests {
namespace {

using xmoe::Cpu;
using xmoe::Mode;
namespace recipes = xmoe::recipes;
using D = Cpu<double>;

Row raw_best(const Row& z, std::size_t k) {
  const Row p = softmax(z);
  return only(p, best(p, k));
}

TEST_CASE("recipe capacity_aware: the k best, not renormalised; limits in inference alone",
          "[recipes]") {
  auto p = recipes::capacity_aware::defaults<D>();
  const auto& d = p.config.dispatch;
  CHECK(d.capacity(Mode::train, 640, 64) == 640);
  CHECK(d.capacity(Mode::infer, 640, 64) == 120);  // ceil(1.5 * 8 * 640 / 64)
  CHECK(p.config.router.select.k == 8);
  p.config.router.select.k = 3;
  check_router(p.config.router, linear, each([](const Row& z) { return raw_best(z, 3); }),
               each([](const Row& z) { return shares(raw_best(z, 3)); }));
}

TEST_CASE("recipe dit_moe: the two best, not renormalised", "[recipes]") {
  const auto p = recipes::dit_moe::defaults<D>();
  check_router(p.config.router, linear, each([](const Row& z) { return raw_best(z, 2); }),
               each([](const Row& z) { return shares(raw_best(z, 2)); }));
}

TEST_CASE("recipe limoe: the best one with its probability", "[recipes]") {
  const auto p = recipes::limoe::defaults<D>();
  check_router(p.config.router, linear, each([](const Row& z) { return raw_best(z, 1); }),
               each([](const Row& z) { return shares(raw_best(z, 1)); }));
}

/// The group with the largest sum of p (or largest p), its two best.
Row inside_one_group(const Row& z, bool by_sum) {
  const Row p = softmax(z);
  std::size_t group = 0;
  double most = 0.0;
  for (std::size_t g = 0; 4 * g < p.size(); ++g) {
    double sum = 0.0, top = 0.0;
    for (std::size_t e = 4 * g; e < 4 * g + 4; ++e) {
      sum += p[e];
      top = std::max(top, p[e]);
    }
    const double value = by_sum ? sum : top;
    group = value > most ? g : group;
    most = std::max(most, value);
  }
  Row inside(p.size(), 0.0);
  std::copy_n(p.begin() + static_cast<index>(4 * group), 4,
              inside.begin() + static_cast<index>(4 * group));
  return only(p, best(inside, 2));
}

TEST_CASE("recipe sam: two experts of one group", "[recipes]") {
  auto p = recipes::sam::defaults<D>();
  CHECK(p.config.router.select.limit == 1);
  p.config.router.select.groups = 4;
  index by_maximum = 0;  // cases in which the group of the largest p would do as well
  const auto by_sum = each([](const Row& z) { return inside_one_group(z, true); });
  check_router(p.config.router, linear,
               [&](const Table& z) {
                 const auto by_top =
                     each([](const Row& row) { return inside_one_group(row, false); });
                 by_maximum += by_top(z) == by_sum(z) ? 1 : 0;
                 return by_sum(z);
               },
               each([](const Row& z) { return raw_best(z, 2); }), {.experts = 16});
  CHECK(by_maximum < 3);
}

TEST_CASE("recipe smoe_dropout: softmax over the picked, bias included", "[recipes]") {
  auto p = recipes::smoe_dropout::defaults<D>();
  p.config.router.select.k = 3;
  check_router(p.config.router, linear, each([](const Row& z) {
                 double sum = 0.0;
                 for (const std::size_t e : best(z, 3)) {
                   sum += std::exp(z[e]);
                 }
                 Row w;
                 for (const double v : z) {
                   w.push_back(std::exp(v) / sum);
                 }
                 return only(w, best(z, 3));
               }),
               each([](const Row& z) { return raw_best(z, 3); }));
  RouterCase c(p.config.router, 1);
  const Row with = flat(c.decide());
  REQUIRE(c.own.gate.bias.count() == 1);
  c.own.gate.bias.zero();
  CHECK(relative_error(flat(c.decide()), with) > 1e-2);
}

TEST_CASE("recipe adaptive_gating: a second expert when the first is not clear", "[recipes]") {
  auto p = recipes::adaptive_gating::defaults<D>();
  const auto rule = [](double gap) {
    return each([gap](const Row& z) {
      const Row s = softmax(z);
      const auto two = best(s, 2);
      return shares(only(s, best(s, s[two[0]] - s[two[1]] <= gap ? 2 : 1)));
    });
  };
  const double gap = static_cast<double>(p.config.router.select.gap);
  check_router(p.config.router, linear, rule(gap), rule(1.0));
  check_router(p.config.router, linear, rule(gap), rule(0.0));
}

/// The shortest prefix of the largest numbers that holds a share of their sum.
std::vector<std::size_t> prefix(const Row& n, double share) {
  double sum = 0.0, mass = 0.0;
  for (const double v : n) {
    sum += v;
  }
  std::vector<std::size_t> chosen;
  for (const std::size_t e : order(n)) {
    if (!chosen.empty() && mass >= share * sum) {
      break;
    }
    chosen.push_back(e);
    mass += n[e];
  }
  return chosen;
}

TEST_CASE("recipe dsti: a net's numbers, a share of their sum, weights 1", "[recipes]") {
  auto p = recipes::dsti::defaults<D>();
  p.config.router.gate.dim = 5;
  p.config.router.select.share = 0.6f;
  const auto net = [](const auto& c, index t) {
    const auto& g = c.own.gate;
    Row hidden = affine(rows(g.projection.weight), rows(g.projection.bias), c.token(t));
    for (double& v : hidden) {
      v = std::max(v, 0.0);
    }
    Row n = affine(rows(g.inner.weight), rows(g.inner.bias), hidden);
    for (double& v : n) {
      v = std::max(v, 0.0);
    }
    return n;
  };
  const auto unit = [](const Row& n, const std::vector<std::size_t>& chosen) {
    return only(Row(n.size(), 1.0), chosen);
  };
  const double share = static_cast<double>(0.6f);
  check_router(p.config.router, net, each([&](const Row& n) { return unit(n, prefix(n, share)); }),
               each([&](const Row& n) {
                 std::vector<std::size_t> near;
                 for (const std::size_t e : order(n)) {
                   if (n[e] >= (1.0 - share) * *std::max_element(n.begin(), n.end())) {
                     near.push_back(e);
                   }
                 }
                 return unit(n, near);
               }),
               {.learns = false});
}

TEST_CASE("recipe ladimo: the mass of a threshold, renormalised", "[recipes]") {
  auto p = recipes::ladimo::defaults<D>();
  p.config.router.select.threshold = 0.7f;
  const auto chosen = [](const Row& z) {
    const Row s = softmax(z);
    return only(s, prefix(s, static_cast<double>(0.7f)));
  };
  check_router(p.config.router, linear, each([&](const Row& z) { return shares(chosen(z)); }),
               each(chosen));
}

TEST_CASE("recipe self_contrast: some ranks, renormalised", "[recipes]") {
  const auto ranks = [](std::size_t first, std::size_t last) {
    return each([=](const Row& z) {
      const Row s = softmax(z);
      const auto list = best(s, last + 1);
      return shares(only(s, {list.begin() + static_cast<index>(first), list.end()}));
    });
  };
  const auto router = [](std::uint64_t kept) {
    return recipes::self_contrast::defaults<D>(kept).config.router;
  };
  check_router(router(0b11), linear, ranks(0, 1), ranks(1, 1));
  check_router(router(0b110), linear, ranks(1, 2), ranks(0, 1));
  check_router(recipes::self_contrast::defaults<D>().config.router, linear, ranks(1, 1),
               ranks(0, 0), {.learns = false});  // alone its weight is 1
}

}  // namespace
}  // namespace tests
