// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/dense_as_experts.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("recipe dense as experts: figures", "[recipes]") {
  const auto p = recipes::dense_as_experts::defaults();
  CHECK(p.sizes.model_dim == 768);
  CHECK(p.sizes.experts == 8);
  CHECK(p.sizes.expert_dim == 384);
  CHECK(p.sizes.experts * p.sizes.expert_dim == 3072);
  CHECK(p.config.router.select.threshold == 1.f);
  CHECK(p.balance_coefficient == 0.01f);
}

TEST_CASE("recipe dense as experts: at t = 1 the dense FFN, below it a part", "[recipes]") {
  const index dim = 5, experts = 4, part = 3, hidden = experts * part, tokens = 9;
  auto layer =
      tests::small_layer(recipes::dense_as_experts::defaults<Cpu<double>>(), {dim, experts, part});
  tests::Generator random(2);
  const std::vector<double> w1 = tests::normals(random, hidden * dim, 0.5),
                            b1 = tests::normals(random, hidden),
                            w2 = tests::normals(random, dim * hidden, 0.5),
                            b2 = tests::normals(random, dim),
                            x = tests::normals(random, tokens * dim);
  convert::dense_to_experts(
      {{w1.data(), hidden, dim}, tests::in(b1), {w2.data(), dim, hidden}, tests::in(b2)}, layer);
  reference::Experts dense;
  dense.activation = reference::Activation::gelu_tanh;
  dense.up = reference::Stack(1, hidden, dim);
  dense.up_bias = reference::Stack(1, hidden, 1);
  dense.down = reference::Stack(1, dim, hidden);
  dense.down_bias = reference::Stack(1, dim, 1);
  dense.up.values = w1;
  dense.up_bias.values = b1;
  dense.down.values = w2;
  dense.down_bias.values = b2;
  reference::Vector want;
  for (index t = 0; t < tokens; ++t) {
    const auto row =
        reference::run_expert(dense, 0, {x.begin() + t * dim, x.begin() + (t + 1) * dim}).out;
    want.insert(want.end(), row.begin(), row.end());
  }
  CHECK(tests::relative_error(tests::outputs(layer, x), want) < 1e-14);
  layer.config().router.select.threshold = 0.5f;
  std::vector<double> y(x.size());
  const Summary s =
      layer.forward(In<double>(x.data(), tokens, dim), Out<double>(y.data(), tokens, dim));
  CHECK(s.kept < tokens * experts);
  CHECK(s.kept >= tokens);
  CHECK(tests::relative_error(y, want) > 1e-2);
}

TEST_CASE("recipe dense as experts: a saturated router needs t > 1 for all parts", "[recipes]") {
  auto layer = tests::small_layer(recipes::dense_as_experts::defaults<Cpu<double>>(), {1, 4, 3});
  layer.parameters()[0].as<double>().load(std::vector<double>{200, 0, 0, 0});
  const double x = 1.0;
  CHECK(layer.route(In<double>(&x, 1, 1)).assignments() == 1);
  layer.config().router.select.threshold = 1.5f;
  CHECK(layer.route(In<double>(&x, 1, 1)).assignments() == 4);
}

TEST_CASE("recipe dense as experts: trains with the router's weights", "[recipes]") {
  auto p = recipes::dense_as_experts::defaults<Cpu<double>, weigh::Raw>();
  auto layer = tests::small_layer(p, {6, 4, 5});
  tests::check_trains(layer, recipes::dense_as_experts::Balance{0.5f});
  tests::Generator random(3);
  const std::vector<double> x = tests::normals(random, 3 * 6);
  const auto routing = layer.route(In<double>(x.data(), 3, 6));
  REQUIRE(routing.assignments() == 12);  // every part, its probability as weight
  double sum = 0.0;
  for (const double w : routing.weight()) {
    sum += w;
  }
  CHECK(tests::within(sum, 3.0, 1e-14));
}

}  // namespace
}  // namespace xmoe
