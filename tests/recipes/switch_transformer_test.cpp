// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/switch_transformer.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("recipe switch: figures", "[recipes]") {
  const auto p = recipes::switch_transformer::defaults();
  CHECK(p.sizes.model_dim == 768);
  CHECK(p.sizes.experts == 8);
  CHECK(p.sizes.expert_dim == 3072);
  CHECK(p.config.router.gate.jitter == 0.01f);
  CHECK(p.config.dispatch.factor == 1.25);
  CHECK(p.config.dispatch.eval_factor == 2.0);
  CHECK(p.config.dispatch.capacity(Mode::train, 1024, 8) == 160);
  CHECK(p.config.dispatch.capacity(Mode::infer, 1024, 8) == 256);
  CHECK(p.config.dispatch.capacity(Mode::train, 1, 8) == 1);
  CHECK_FALSE(p.config.expert.bias);
  CHECK_FALSE(p.config.expert.init.copied);
  CHECK(p.balance_coefficient == 0.01f);
}

TEST_CASE("recipe switch: trains at a small size", "[recipes]") {
  auto layer = tests::small_layer(recipes::switch_transformer::defaults<Cpu<double>>(), {6, 3, 5});
  tests::check_trains(layer, recipes::switch_transformer::Balance{0.5f});
}

TEST_CASE("recipe switch: the output is p_max times one expert", "[recipes]") {
  auto layer = tests::small_layer(recipes::switch_transformer::defaults<Cpu<double>>(), {6, 3, 5});
  tests::Generator random(3);
  const std::vector<double> x = tests::normals(random, 6);  // one token: nothing is dropped
  const auto routing = layer.route(In<double>(x.data(), 1, 6));
  REQUIRE(routing.assignments() == 1);
  CHECK(routing.weight()[0] == routing.score()[0]);
  CHECK(routing.weight()[0] < 1.0);
  CHECK(routing.weight()[0] > 1.0 / 3.0);
  const index offsets[2] = {0, 1};
  const double one = 1.0;
  const auto unit = Routing<double>::from(3, offsets, routing.expert(), {&one, 1});
  std::vector<double> y(6);
  layer.apply(In<double>(x.data(), 1, 6), unit, Out<double>(y.data(), 1, 6));
  for (double& v : y) {
    v *= routing.weight()[0];
  }
  CHECK(tests::relative_error(tests::outputs(layer, x), y) < 1e-15);
}

}  // namespace
}  // namespace xmoe
