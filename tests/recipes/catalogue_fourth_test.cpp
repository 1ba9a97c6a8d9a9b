// SPDX-License-Identifier: Apache-2.0
// Routers of recipes against formulas written down here: other systems.
#include <xmoe/recipes/block_ffn.hpp>
#include <xmoe/recipes/demix.hpp>
#include <xmoe/recipes/dpsl.hpp>
#include <xmoe/recipes/dynamic_dino.hpp>
#include <xmoe/recipes/dynamic_skipping.hpp>
#include <xmoe/recipes/dynamic_top_p.hpp>
#include <xmoe/recipes/gw_moe.hpp>
#include <xmoe/recipes/hash_layers.hpp>
#include <xmoe/recipes/mowe.hpp>
#include <xmoe/recipes/remoe.hpp>
#include <xmoe/recipes/sigma_moe.hpp>
#include <xmoe/recipes/skillnet_modalities.hpp>
#include <xmoe/recipes/skillnet_nlu.hpp>
#include <xmoe/recipes/sparse_mixer.hpp>
#include <xmoe/recipes/sparsemax.hpp>
#include <xmoe/recipes/st_moe.hpp>
#include <xmoe/recipes/switch_max.hpp>
#include <xmoe/recipes/thor.hpp>

#include "golden/xmoe_cases.hpp"
#include "recipes/formula_case.hpp"

namespace tests {
namespace {

namespace recipes = xmoe::recipes;
using xmoe::Cpu;
using xmoe::Mode;
using xmoe::Sizes;

/// All that lies above 0, best first, divided by `unit`.
Picks positive(const Row& s, double unit = 1.0) {
  Picks picks;
  for (const index e : descending(s)) {
    const double v = s[static_cast<std::size_t>(e)];
    if (v > 0.0) {
      picks.push_back({e, v / unit});
    }
  }
  return picks;
}
Row relu(Row z) {
  for (double& v : z) {
    v = std::max(v, 0.0);
  }
  return z;
}
/// Experts, best first, with their softmax, as long as go_on(number so far, their mass) holds.
template <class GoOn>
Picks prefix(const Row& z, const GoOn& go_on) {
  const Row p = softmax(z);
  Picks picks;
  double mass = 0.0;
  for (const index e : descending(p)) {
    if (!picks.empty() && !go_on(picks.size(), mass)) {
      break;
    }
    picks.push_back({e, p[static_cast<std::size_t>(e)]});
    mass += picks.back().second;
  }
  return picks;
}

TEST_CASE("recipe st_moe", "[recipes]") {
  auto p = recipes::st_moe::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{5120, 64, 20480});
  CHECK(p.config.router.select.k == 2);
  CHECK(p.config.dispatch.capacity(Mode::train, 1024, 64) == 20);
  CHECK(p.config.dispatch.capacity(Mode::infer, 1024, 64) == 32);
  check_router(p.config.router, divided(2), raw(2));
}

TEST_CASE("recipe switch_max", "[recipes]") {
  const auto p = recipes::switch_max::defaults<Cpu<double>>();
  CHECK(p.config.dispatch.capacity(Mode::train, 1024, 8) == 160);
  check_router(p.config.router, raw(1), divided(1));
}

TEST_CASE("recipe sparsemax", "[recipes]") {
  const auto p = recipes::sparsemax::defaults<Cpu<double>>();
  const Formula right = [](const Row& z, const Row&) {
    const std::vector<index> order = descending(z);
    double sum = 0.0, tau = 0.0;
    for (std::size_t k = 0; k < z.size(); ++k) {
      const double next = z[static_cast<std::size_t>(order[k])];
      if (1.0 + static_cast<double>(k + 1) * next <= sum + next) {
        break;
      }
      sum += next;
      tau = (sum - 1.0) / static_cast<double>(k + 1);
    }
    Row s = z;
    for (double& v : s) {
      v -= tau;
    }
    return positive(s);
  };
  check_router(p.config.router, right, raw(8));
  const Picks want[] = {{{1, .88653692}, {2, .11346308}},
                        {{0, .45485866}, {3, .39778959}, {5, .08014754}, {1, .06720421}},
                        {{7, .99178262}, {0, .00821738}},
                        {{2, .54970689}, {6, .45029311}}};
  check_figures(p.config.router, golden::wave_logits(4, 8), {}, {want, want + 4});
}

TEST_CASE("recipe dynamic_dino", "[recipes]") {
  const auto p = recipes::dynamic_dino::defaults<Cpu<double>>();
  const Formula twice = [](const Row& z, const Row& b) {
    Picks picks = picked(2)(z, b);
    for (Pick& pick : picks) {
      pick.second *= 2.0;
    }
    return picks;
  };
  check_router(p.config.router, twice, picked(2));
}

TEST_CASE("recipe dpsl", "[recipes]") {
  const auto p = recipes::dpsl::defaults<Cpu<double>>();
  check_router(p.config.router, divided(2), raw(2));
}

TEST_CASE("recipe block_ffn", "[recipes]") {
  const auto p = recipes::block_ffn::defaults<Cpu<double>>();
  const auto by = [](double eps) -> Formula {
    return [eps](const Row& z, const Row&) {
      const Row r = relu(z);
      const double squares = std::inner_product(r.begin(), r.end(), r.begin(), 0.0);
      return positive(r, std::sqrt(squares / static_cast<double>(r.size()) + eps));
    };
  };
  const auto eps = static_cast<double>(1e-6f);  // the policy keeps it in float
  check_router(p.config.router, by(eps), by(0.1));
  Picks want[] = {
      {{1, 2.35845590}, {2, 1.22637859}, {7, .93238212}, {6, .24604614}, {3, .06155504}}};
  reference::Matrix first(1, 8);
  const reference::Matrix z = golden::wave_logits(4, 8);
  std::copy(z.values.begin(), z.values.begin() + 8, first.values.begin());
  check_figures(p.config.router, first, {}, {want, want + 1});
}

TEST_CASE("recipe remoe", "[recipes]") {
  const auto p = recipes::remoe::defaults<Cpu<double>>();
  const Formula right = [](const Row& z, const Row&) { return positive(relu(z)); };
  check_router(p.config.router, right,
               [](const Row& z, const Row&) { return positive(softmax(z)); });
}

TEST_CASE("recipe dynamic_top_p", "[recipes]") {
  auto p = recipes::dynamic_top_p::defaults<Cpu<double>>();
  CHECK(p.config.router.select.threshold == 0.4f);
  CHECK(p.config.router.select.inclusive);
  const auto up_to = [](double mass) -> Formula {
    return [mass](const Row& z, const Row&) {
      return prefix(z, [mass](std::size_t, double sum) { return sum <= mass; });
    };
  };
  check_router(p.config.router, up_to(0.4), up_to(0.9));
  // a flat row of eight, mass 1/2: four reach it exactly, and one more is taken
  p.config.router.select.threshold = 0.5f;
  Picks flat;
  for (index e = 0; e < 5; ++e) {
    flat.push_back({e, 0.125});
  }
  check_figures(p.config.router, reference::Matrix(1, 8), {}, {flat});
}

TEST_CASE("recipe dynamic_skipping", "[recipes]") {
  const auto p = recipes::dynamic_skipping::defaults<Cpu<double>>();
  CHECK(p.config.router.select.ratio == 0.5f);
  const auto by = [](double beta) -> Formula {
    return [beta](const Row& z, const Row&) {
      const Row sorted = softmax(z);
      const std::vector<index> order = descending(sorted);
      const double ratio =
          sorted[static_cast<std::size_t>(order[1])] / sorted[static_cast<std::size_t>(order[0])];
      const Picks both = divided(2)(z, {});
      return ratio >= beta ? both : Picks{{order[0], 1.0}};
    };
  };
  check_router(p.config.router, by(0.5), by(0.05));
}

TEST_CASE("recipe sigma_moe", "[recipes]") {
  auto p = recipes::sigma_moe::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{412, 16, 128});
  CHECK(p.config.router.select.k == 4);
  const Formula right = [](const Row& z, const Row& b) {
    return best(sigmoid(z), b, 4, 1.0, false);
  };
  check_router(p.config.router, right, raw(4));
  // while training some of the best are missing; the weights of the others stay
  p.config.router.gate.adjust.rate = 0.5f;
  const index tokens = 4, experts = 8;
  const reference::Matrix z = golden::wave_logits(tokens, experts);
  RoutedBatch<decltype(p.config.router)> train(p.config.router, tokens, experts, {Mode::train});
  Row w, x(16, 0.0);
  for (index i = 0; i < experts * tokens; ++i) {
    w.push_back(z(i % tokens, i / tokens));
  }
  for (std::size_t t = 0; t < 4; ++t) {
    x[5 * t] = 1.0;
  }
  train.own().gate.weight.load(w);
  index missing = 0;
  const std::vector<Picks> got = train.forward(x);
  for (index t = 0; t < tokens; ++t) {
    const Row row(z.values.begin() + t * experts, z.values.begin() + (t + 1) * experts);
    const Picks all = right(row, Row(8, 0.0));
    const Picks& some = got[static_cast<std::size_t>(t)];
    for (const Pick& pick : some) {
      CHECK(pick.second ==
            Approx(sigmoid(row)[static_cast<std::size_t>(pick.first)]).epsilon(1e-12));
    }
    missing += some != all ? 1 : 0;
  }
  CHECK(missing > 0);
}

TEST_CASE("recipe sparse_mixer", "[recipes]") {
  auto p = recipes::sparse_mixer::defaults<Cpu<double>>();
  CHECK(p.config.router.select.margin == 0.1f);
  CHECK(p.config.router.select.k == 1);
  CHECK_NOTHROW(p.config.router.check({6, 8, 1}));
  const Picks want[] = {{{1, 1}}, {{0, .30205426}}, {{7, 1}}, {{2, .52483299}}};
  check_figures(p.config.router, golden::wave_logits(4, 8), {}, {want, want + 4});
  p.config.router.select.margin = p.config.router.weigh.margin = 0.25f;
  const RouterRun doubled{.slope = 2.0};  // what the midpoint rule makes of the best expert
  check_router(p.config.router, near_best(1, 0.25), near_best(1, 0.01), doubled);
}

TEST_CASE("recipe gw_moe", "[recipes]") {
  auto p = recipes::gw_moe::defaults<Cpu<double>>();
  CHECK(p.config.router.select.entropy == 2.f);
  p.config.router.select.entropy = 1.25f;
  const auto above = [](double bound) -> Formula {
    return [bound](const Row& z, const Row&) {
      double entropy = 0.0;
      for (const double v : softmax(z)) {
        entropy -= v * std::log(v);
      }
      return prefix(z, [&](std::size_t, double) { return entropy >= bound; });
    };
  };
  const RouterRun tuning{.mode = Mode::train};
  check_router(p.config.router, above(1.25), above(10.0), tuning);  // some go everywhere
  check_router(p.config.router, above(1.25), above(0.0), tuning);   // not all of them
  check_router(p.config.router, above(10.0), above(1.25));          // and none in inference
}

/// Expert and weight of ids, and no gradient.
template <class Published>
void check_table(Published p, index rows, index cols, const std::vector<std::int32_t>& table,
                 const std::vector<std::int32_t>& ids, const std::vector<Picks>& want) {
  const index dim = 6, tokens = static_cast<index>(want.size());
  p.config.router.table = {table.data(), rows, cols};
  RoutedBatch<decltype(p.config.router)> routed(p.config.router, dim, 8, {});
  Generator random(4);
  const Row x = normals(random, tokens * dim);
  CHECK(distance(routed.forward(x, ids), want) == 0.0);
  std::vector<Picks> other = want;
  other.back().back().first += 1;
  CHECK(distance(routed.forward(x, ids), other) > 1.0);
  std::size_t count = 0;
  for (const Picks& picks : want) {
    count += picks.size();
  }
  CHECK(magnitude(routed.backward(x, Row(count, 1.0), ids)) == 0.0);
}

TEST_CASE("recipes: experts from a table", "[recipes]") {
  using C = Cpu<double>;
  check_table(recipes::hash_layers::defaults<C>(), 4, 1, {7, 0, 3, 3}, {3, 0, 1},
              {{{3, 1}}, {{7, 1}}, {{0, 1}}});
  check_table(recipes::demix::defaults<C>(), 3, 1, {0, 1, 2}, {2, 2, 0},
              {{{2, 1}}, {{2, 1}}, {{0, 1}}});
  check_table(recipes::mowe::defaults<C>(), 3, 1, {-1, 5, 6}, {0, 2, 1}, {{}, {{6, 1}}, {{5, 1}}});
  check_table(recipes::thor::defaults<C>(), 1, 1, {4}, {}, {{{4, 1}}, {{4, 1}}});
  const std::vector<std::int32_t> skills = {0, 1, -1, 0, 2, 5};
  const double third = 1.0 / 3.0;
  const std::vector<Picks> means = {{{0, third}, {2, third}, {5, third}}, {{0, .5}, {1, .5}}};
  check_table(recipes::skillnet_nlu::defaults<C>(), 2, 3, skills, {1, 0}, means);
  check_table(recipes::skillnet_modalities::defaults<C>(), 2, 3, skills, {1, 0}, means);
  CHECK(recipes::skillnet_nlu::defaults({skills.data(), 2, 3}).config.router.table(1, 2) == 5);
}

}  // namespace
}  // namespace tests
