// SPDX-License-Identifier: Apache-2.0
#include <xmoe/recipes/xmoe.hpp>

#include "recipes/recipe_case.hpp"

namespace xmoe {
namespace {

/// Numbers of the experts, and of the router.
template <class Published>
std::pair<index, index> sizes_of(const Published& p) {
  auto layer = p.make(cpu::Backend(1));
  index expert = 0, router = 0;
  for (const Parameter& q : layer.parameters()) {
    (q.name.find("expert.") == 0 ? expert : router) += q.size();
  }
  return {expert, router};
}

TEST_CASE("recipe xmoe: the published language model", "[recipes]") {
  const auto p = recipes::xmoe_language_model::defaults();
  CHECK(p.sizes.model_dim == 768);
  CHECK(p.sizes.experts == 64);
  CHECK(p.sizes.expert_dim == 384);
  CHECK(p.config.router.select.threshold == 0.9f);
  CHECK(p.config.router.select.max_experts == 0);
  CHECK(p.config.router.weigh.scale == 1.f);
  CHECK_FALSE(p.config.router.gate.bias);
  CHECK(p.config.router.gate.jitter == 0.f);
  CHECK(p.config.router.gate.init_scale == 1.f);
  CHECK(p.config.dispatch.limit == dispatch::Limit::factor);
  CHECK(p.config.dispatch.factor == 8.0);
  CHECK_FALSE(p.config.dispatch.eval_factor.has_value());
  CHECK(p.config.dispatch.minimum == 4);
  CHECK(p.config.dispatch.capacity(Mode::train, 16384, 64) == 2048);
  CHECK(p.config.dispatch.capacity(Mode::infer, 16384, 64) == 2048);
  CHECK(p.config.expert.bias);
  CHECK(p.config.expert.init.copied);
  CHECK(p.config.expert.init.shape == expert::Init::Shape::normal);
  CHECK(p.config.expert.init.deviation_in == 0.014f);
  CHECK(tests::within(static_cast<double>(p.config.expert.init.deviation_out),
                      0.014 / std::sqrt(24.0), 1e-9));
  CHECK(p.balance_coefficient == 0.01f);
  CHECK(std::string(recipes::xmoe_language_model::citation.source) == "2403.18926");
}

TEST_CASE("recipe xmoe: parameters of every split", "[recipes]") {
  const index experts[4] = {37'779'456, 37'785'600, 37'797'888, 37'822'464};
  for (int i = 0; i < 4; ++i) {
    const index split = index(1) << i;
    const auto p = recipes::xmoe_language_model::defaults(split);
    INFO("split " << split);
    CHECK(sizes_of(p) == std::pair<index, index>{experts[i], 8 * split * 768});
    CHECK(p.config.dispatch.factor == static_cast<double>(split));
    CHECK(p.sizes.experts * p.sizes.expert_dim == 8 * 3072);
  }
  const index translation[3] = {67'190'784, 67'207'168, 67'239'936};
  for (int i = 0; i < 3; ++i) {
    const index split = index(1) << i;
    INFO("split " << split);
    CHECK(sizes_of(recipes::xmoe_translation::defaults(split)) ==
          std::pair<index, index>{translation[i], 32 * split * 512});
  }
}

TEST_CASE("recipe xmoe: the translation model", "[recipes]") {
  const auto p = recipes::xmoe_translation::defaults();
  CHECK(p.sizes.model_dim == 512);
  CHECK(p.sizes.experts == 128);
  CHECK(p.sizes.expert_dim == 512);
  CHECK(p.config.router.select.threshold == 0.9f);
  CHECK(p.config.dispatch.factor == 4.0);
  CHECK(p.config.dispatch.minimum == 4);
  CHECK(p.config.expert.init.shape == expert::Init::Shape::uniform_fan_in);
  CHECK(p.config.expert.init.copied);
  CHECK(p.balance_coefficient == 0.01f);
}

TEST_CASE("recipe xmoe: trains at a small size", "[recipes]") {
  auto layer = tests::small_layer(recipes::xmoe_language_model::defaults<Cpu<double>>(), {6, 4, 5});
  tests::check_trains(layer, recipes::xmoe_language_model::Balance{0.5f});
}

TEST_CASE("recipe xmoe: all experts start equal", "[recipes]") {
  auto p = recipes::xmoe_language_model::defaults<Cpu<double>>();
  p.sizes = {6, 4, 5};
  auto layer = p.make(cpu::Backend(1));
  layer.initialize(Random{1});
  const Panels<double>& up = layer.parameters()[1].as<double>();
  const Panels<double>& gate = layer.parameters()[0].as<double>();
  for (index e = 1; e < 4; ++e) {
    CHECK(up.at(e, 2, 3) == up.at(0, 2, 3));
    CHECK(gate.at(0, e, 3) != gate.at(0, 0, 3));  // symmetry is the router's to break
  }
}

}  // namespace
}  // namespace xmoe
