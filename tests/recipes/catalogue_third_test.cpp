// SPDX-License-Identifier: Apache-2.0
// Routers of recipes against formulas written down here: public checkpoints.
#include <xmoe/recipes/dbrx.hpp>
#include <xmoe/recipes/deepseek_moe.hpp>
#include <xmoe/recipes/deepseek_v2.hpp>
#include <xmoe/recipes/deepseek_v3.hpp>
#include <xmoe/recipes/dots1.hpp>
#include <xmoe/recipes/ernie_4_5.hpp>
#include <xmoe/recipes/glm4_moe.hpp>
#include <xmoe/recipes/gpt_oss.hpp>
#include <xmoe/recipes/granite_moe.hpp>
#include <xmoe/recipes/hunyuan_large.hpp>
#include <xmoe/recipes/jamba.hpp>
#include <xmoe/recipes/kimi_k2.hpp>
#include <xmoe/recipes/longcat_flash.hpp>
#include <xmoe/recipes/nllb_moe.hpp>
#include <xmoe/recipes/olmoe.hpp>
#include <xmoe/recipes/phi_3_5_moe.hpp>
#include <xmoe/recipes/qwen2_moe.hpp>
#include <xmoe/recipes/qwen3_moe.hpp>

#include "golden/xmoe_cases.hpp"
#include "recipes/formula_case.hpp"

namespace tests {
namespace {

namespace recipes = xmoe::recipes;
using xmoe::Cpu;
using xmoe::Sizes;

Formula sigmoids(index k, double scale) {
  return [=](const Row& z, const Row& b) { return best(sigmoid(z), b, k, scale, true); };
}
/// Everything outside of the `limit` best of `groups` groups to -1e9; a group is worth the sum of
/// its `best_keys` best.
Row within_groups(const Row& keys, index groups, index limit, std::size_t best_keys) {
  const std::size_t size = keys.size() / static_cast<std::size_t>(groups);
  Row worth;
  for (std::size_t g = 0; g < keys.size(); g += size) {
    Row own(keys.begin() + static_cast<index>(g), keys.begin() + static_cast<index>(g + size));
    std::sort(own.rbegin(), own.rend());
    worth.push_back(std::accumulate(own.begin(), own.begin() + static_cast<index>(best_keys), 0.0));
  }
  const std::vector<index> order = descending(worth);
  Row kept(keys.size(), -1e9);
  for (std::size_t r = 0; r < static_cast<std::size_t>(limit); ++r) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t e = static_cast<std::size_t>(order[r]) * size + i;
      kept[e] = keys[e];
    }
  }
  return kept;
}
/// What turns p into keys, as a bias.
Row minus(Row keys, const Row& p) {
  for (std::size_t e = 0; e < p.size(); ++e) {
    keys[e] -= p[e];
  }
  return keys;
}
Formula version_2(index k, index groups, index limit, double scale, std::size_t best_keys = 1) {
  return [=](const Row& z, const Row&) {
    const Row p = softmax(z);
    return best(p, minus(within_groups(p, groups, limit, best_keys), p), k, scale, false);
  };
}
Formula version_3(index k, index groups, index limit, double scale, std::size_t best_keys = 2) {
  return [=](const Row& z, const Row& b) {
    const Row s = sigmoid(z);
    Row keys = s;
    for (std::size_t e = 0; e < s.size(); ++e) {
      keys[e] += b[e];
    }
    return best(s, minus(within_groups(keys, groups, limit, best_keys), s), k, scale, true);
  };
}

TEST_CASE("recipes: softmax over all, probabilities as they are", "[recipes]") {
  const auto check = [](auto p, Sizes sizes, index k) {
    CHECK(p.sizes == sizes);
    CHECK(p.config.router.select.k == k);
    p.config.router.select.k = 3;
    check_router(p.config.router, raw(3), divided(3));
  };
  check(recipes::qwen2_moe::defaults<Cpu<double>>(), {3584, 64, 2560}, 8);
  check(recipes::olmoe::defaults<Cpu<double>>(), {2048, 64, 1024}, 8);
  check(recipes::jamba::defaults<Cpu<double>>(), {4096, 16, 14336}, 2);
  check(recipes::deepseek_moe::defaults<Cpu<double>>(), {2048, 64, 1408}, 6);
}

TEST_CASE("recipe hunyuan_large", "[recipes]") {
  const auto p = recipes::hunyuan_large::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{6400, 16, 18304});
  check_router(p.config.router, raw(1), divided(1));
}

TEST_CASE("recipes: softmax over all, divided by the sum of the chosen", "[recipes]") {
  const auto check = [](auto p, Sizes sizes, index k) {
    CHECK(p.sizes == sizes);
    CHECK(p.config.router.select.k == k);
    p.config.router.select.k = 3;
    check_router(p.config.router, divided(3), raw(3));
  };
  check(recipes::qwen3_moe::defaults<Cpu<double>>(), {2048, 128, 768}, 8);
  check(recipes::nllb_moe::defaults<Cpu<double>>(), {2048, 128, 8192}, 2);
  CHECK(recipes::nllb_moe::defaults().config.dispatch.capacity(xmoe::Mode::train, 1024, 128) == 16);
}

TEST_CASE("recipe dbrx", "[recipes]") {
  auto p = recipes::dbrx::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{6144, 16, 10752});
  CHECK(p.config.router.select.k == 4);
  const Formula euclid = [](const Row& z, const Row& b) {
    Picks picks = best(softmax(z), b, 4, 1.0, false);
    double squares = 0.0;
    for (const Pick& pick : picks) {
      squares += pick.second * pick.second;
    }
    for (Pick& pick : picks) {
      pick.second /= std::sqrt(squares);
    }
    return picks;
  };
  check_router(p.config.router, divided(4), euclid);
  p.config.router.weigh.p = 2.f;
  check_router(p.config.router, euclid, divided(4));
}

TEST_CASE("recipes: softmax over the chosen logits", "[recipes]") {
  auto granite = recipes::granite_moe::defaults<Cpu<double>>();
  CHECK(granite.sizes == Sizes{1536, 40, 512});
  CHECK(granite.config.router.select.k == 8);
  granite.config.router.select.k = 3;
  check_router(granite.config.router, picked(3), raw(3));

  const auto oss = recipes::gpt_oss::defaults<Cpu<double>>();
  CHECK(oss.sizes == Sizes{2880, 128, 2880});
  CHECK(oss.config.router.select.k == 4);
  CHECK(oss.config.router.gate.bias);
  CHECK(oss.config.expert.bias);
  check_router(oss.config.router, picked(4), raw(4));
}

TEST_CASE("recipes: sigmoids in the order of a bias", "[recipes]") {
  const auto check = [](auto p, Sizes sizes, index k, float scale) {
    CHECK(p.sizes == sizes);
    CHECK(p.config.router.select.inner.k == k);
    CHECK(p.config.router.weigh.scale == scale);
    p.config.router.select.inner.k = 3;
    const Formula unbiased = [scale](const Row& z, const Row&) {
      return best(sigmoid(z), {}, 3, static_cast<double>(scale), true);
    };
    check_router(p.config.router, sigmoids(3, static_cast<double>(scale)), unbiased);
  };
  check(recipes::glm4_moe::defaults<Cpu<double>>(), {5120, 160, 1536}, 8, 2.5f);
  check(recipes::dots1::defaults<Cpu<double>>(), {4096, 128, 1408}, 6, 2.5f);
  check(recipes::kimi_k2::defaults<Cpu<double>>(), {7168, 384, 2048}, 8, 2.827f);
}

TEST_CASE("recipes: softmax in the order of a bias", "[recipes]") {
  auto ernie = recipes::ernie_4_5::defaults<Cpu<double>>();
  CHECK(ernie.sizes == Sizes{2560, 64, 1536});
  CHECK(ernie.config.router.select.inner.k == 6);
  ernie.config.router.select.inner.k = 3;
  check_router(ernie.config.router, divided(3), raw(3));

  auto longcat = recipes::longcat_flash::defaults<Cpu<double>>();
  CHECK(longcat.sizes == Sizes{6144, 512, 2048});
  CHECK(longcat.config.router.select.inner.k == 12);
  longcat.config.router.select.inner.k = 3;
  check_router(longcat.config.router, raw(3, 6.0), divided(3, 6.0));
}

TEST_CASE("recipe deepseek_v2", "[recipes]") {
  auto p = recipes::deepseek_v2::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{5120, 160, 1536});
  auto& select = p.config.router.select;
  CHECK((select.inner.k == 6 && select.groups == 8 && select.limit == 3));
  CHECK(p.config.router.weigh.scale == 16.f);
  select = {.inner = {3}, .groups = 4, .limit = 2, .best_keys = select.best_keys};
  check_router(p.config.router, version_2(3, 4, 2, 16.0), version_2(3, 4, 2, 16.0, 2));
  p.config.router.weigh.scale = 1.f;
  const Picks want[] = {{{1, .39707878}, {2, .18328840}, {3, .08273355}},
                        {{0, .24005718}, {3, .22674093}, {1, .16291404}},
                        {{7, .55093886}, {0, .20603758}, {1, .01510030}},
                        {{2, .50503262}, {6, .45724038}, {3, .01086816}}};
  check_figures(p.config.router, golden::wave_logits(4, 8), {}, {want, want + 4});
}

TEST_CASE("recipe deepseek_v3", "[recipes]") {
  auto p = recipes::deepseek_v3::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{7168, 256, 2048});
  auto& select = p.config.router.select.inner;
  CHECK((select.inner.k == 8 && select.groups == 8 && select.limit == 4 && select.best_keys == 2));
  CHECK(p.config.router.weigh.scale == 2.5f);
  CHECK(p.balance_coefficient == 1e-4f);
  select = {.inner = {3}, .groups = 4, .limit = 2, .best_keys = select.best_keys};
  check_router(p.config.router, version_3(3, 4, 2, 2.5), version_3(3, 4, 2, 2.5, 1));
  Row bias;
  for (int e = 0; e < 8; ++e) {
    bias.push_back(0.1 * std::cos(static_cast<double>(e)));
  }
  const Picks want[] = {{{1, 1.02676427}, {7, .80566649}, {6, .66756924}},
                        {{0, .85433300}, {1, .82221406}, {5, .82345294}},
                        {{7, 1.19249473}, {0, 1.03119634}, {1, .27630894}},
                        {{6, 1.19576313}, {2, 1.20526748}, {7, .09896939}}};
  check_figures(p.config.router, golden::wave_logits(4, 8), bias, {want, want + 4});
  const Picks ungrouped[] = {{{1, .95345981}, {7, .74814701}, {2, .79839318}},
                             {{0, .85433300}, {1, .82221406}, {5, .82345294}},
                             {{7, .95573294}, {0, .82645926}, {4, .71780779}},
                             {{6, 1.15010872}, {2, 1.15925020}, {0, .19064108}}};
  select.limit = 4;
  check_figures(p.config.router, golden::wave_logits(4, 8), bias, {ungrouped, ungrouped + 4});
}

TEST_CASE("recipe phi_3_5_moe", "[recipes]") {
  auto p = recipes::phi_3_5_moe::defaults<Cpu<double>>();
  CHECK(p.sizes == Sizes{4096, 16, 6400});
  CHECK(p.config.router.select.k == 2);
  CHECK(p.config.router.select.margin == 0.01f);
  CHECK(p.config.router.weigh.margin == 0.01f);
  CHECK_NOTHROW(p.config.router.check({6, 8, 1}));
  p.config.router.select.margin = p.config.router.weigh.margin = 0.25f;
  check_router(p.config.router, near_best(2, 0.25), picked(2));
  const Picks want[] = {{{1, .68418545}, {2, .55002322}},
                        {{0, .24155327}, {3, .30081748}},
                        {{7, .72781506}, {0, .62970641}},
                        {{2, .52483299}, {6, 1}}};
  check_figures(p.config.router, golden::wave_logits(4, 8), {}, {want, want + 4});
}

}  // namespace
}  // namespace tests
