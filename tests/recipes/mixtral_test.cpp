// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/mixtral.hpp>

#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/weigh/normalized.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("recipe mixtral: figures", "[recipes]") {
  const auto p = recipes::mixtral::defaults();
  CHECK(p.sizes.model_dim == 4096);
  CHECK(p.sizes.experts == 8);
  CHECK(p.sizes.expert_dim == 14336);
  CHECK(p.config.router.select.k == 2);
  CHECK_FALSE(p.config.expert.bias);
  CHECK_FALSE(p.config.router.gate.bias);
  CHECK_FALSE(p.config.expert.init.copied);
  CHECK(p.balance_coefficient == 0.02f);
}

TEST_CASE("recipe mixtral: trains at a small size", "[recipes]") {
  auto layer = tests::small_layer(recipes::mixtral::defaults<Cpu<double>>(), {6, 4, 5});
  tests::check_trains(layer, recipes::mixtral::Balance{0.5f});
}

TEST_CASE("recipe mixtral: softmax of the picked = softmax of all, normalized", "[recipes]") {
  using Other = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
                         expert::Glu<activation::Silu>, dispatch::Dropless, Cpu<double>>;
  auto layer = tests::small_layer(recipes::mixtral::defaults<Cpu<double>>(), {6, 4, 5});
  Other other({6, 4, 5}, {}, cpu::Backend(1));
  const Parameters from = layer.parameters(), to = other.parameters();
  REQUIRE(from.size() == to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    REQUIRE(from[i].name == to[i].name);
    to[i].as<double>() = from[i].as<double>();
  }
  tests::Generator random(3);
  const std::vector<double> x = tests::normals(random, 33 * 6);
  const In<double> view(x.data(), 33, 6);
  const auto a = layer.route(view), b = other.route(view);
  CHECK(std::equal(a.expert().begin(), a.expert().end(), b.expert().begin(), b.expert().end()));
  CHECK(tests::relative_error(tests::wide(a.weight()), tests::wide(b.weight())) < 1e-14);
  CHECK(tests::relative_error(tests::outputs(layer, x), tests::outputs(other, x)) < 1e-14);
  other.config().router.weigh.scale = 2.f;  // twin
  CHECK(tests::relative_error(tests::outputs(layer, x), tests::outputs(other, x)) > 0.4);
}

}  // namespace
}  // namespace xmoe
