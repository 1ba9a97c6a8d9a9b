// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/gshard.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("recipe gshard: figures", "[recipes]") {
  const auto p = recipes::gshard::defaults();
  CHECK(p.sizes.model_dim == 1024);
  CHECK(p.sizes.experts == 8);
  CHECK(p.sizes.expert_dim == 4096);
  CHECK(p.config.router.select.k == 2);
  CHECK(p.config.router.weigh.scale == 1.f);
  CHECK(p.config.dispatch.factor == 2.0);
  CHECK(p.config.dispatch.minimum == 1);
  CHECK(p.config.dispatch.capacity(Mode::train, 1024, 8) == 256);  // 2 T / E
  CHECK(p.config.dispatch.capacity(Mode::train, 1025, 8) == 257);
  CHECK_FALSE(p.config.expert.bias);
  CHECK_FALSE(p.config.expert.init.copied);
  CHECK(p.balance_coefficient == 0.01f);
}

TEST_CASE("recipe gshard: trains at a small size", "[recipes]") {
  auto layer = tests::small_layer(recipes::gshard::defaults<Cpu<double>>(), {6, 4, 5});
  tests::check_trains(layer, recipes::gshard::Balance{0.5f});
}

TEST_CASE("recipe gshard: weights of a token sum to 1 before capacity", "[recipes]") {
  auto layer = tests::small_layer(recipes::gshard::defaults<Cpu<double>>(), {6, 4, 5});
  tests::Generator random(3);
  const std::vector<double> x = tests::normals(random, 9 * 6);
  const auto routing = layer.route(In<double>(x.data(), 9, 6));
  REQUIRE(routing.assignments() == 18);
  for (std::size_t t = 0; t < 9; ++t) {
    CHECK(tests::within(routing.weight()[2 * t] + routing.weight()[2 * t + 1], 1.0, 1e-15));
    CHECK(routing.weight()[2 * t] >= routing.weight()[2 * t + 1]);
    CHECK(routing.score()[2 * t] + routing.score()[2 * t + 1] < 1.0);
  }
}

}  // namespace
}  // namespace xmoe
