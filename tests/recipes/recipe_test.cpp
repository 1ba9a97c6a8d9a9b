// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/recipe.hpp>

#include <xmoe/recipes/dense_as_experts.hpp>
#include <xmoe/recipes/gshard.hpp>
#include <xmoe/recipes/mixtral.hpp>
#include <xmoe/recipes/switch_transformer.hpp>
#include <xmoe/recipes/xmoe.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("recipe: a published layer makes itself", "[recipes]") {
  recipes::Published<recipes::XMoE<>> p = recipes::xmoe_language_model::defaults();
  p.sizes = {16, 4, 8};
  p.config.router.select.threshold = 0.25f;
  const recipes::XMoE<> layer = p.make(cpu::Backend(1));
  CHECK(layer.sizes().experts == 4);
  CHECK(layer.config().router.select.threshold == 0.25f);
  CHECK(layer.backend().threads() == 1);
  p.sizes.experts = 0;
  CHECK_THROWS_AS(p.make(), shape_error);
}

TEST_CASE("recipe: the balance losses are those of the papers", "[recipes]") {
  using namespace recipes;
  using First = loss::LoadBalance<loss::counting::FirstChoice, loss::over::Scores>;
  CHECK(std::is_same_v<xmoe_language_model::Balance, First>);
  CHECK(std::is_same_v<switch_transformer::Balance, First>);
  CHECK(std::is_same_v<gshard::Balance, First>);
  CHECK_FALSE(std::is_same_v<mixtral::Balance, First>);  // its scores are logits
}

}  // namespace
}  // namespace xmoe
