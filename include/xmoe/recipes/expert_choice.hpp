// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/column.hpp>
#include <xmoe/router/weigh/raw.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Expert choice: every expert takes its C = k T / E best tokens.
///
///   p = softmax(z) over the experts, each column keeps its C largest, w = p
///
///   published     k 2 (capacity factor 2) on average, weights not renormalised, no balance loss;
///                 D 768, 64 experts of 3072 (the smallest model)
///   ours          ReLU experts without biases, independent start
///   not covered   the version with a limit of experts a token (a linear program)
///   verified      formula only; google/flaxformer at 399ea3a, architectures/moe/routing.py was
///                 read
template <class Traits = Cpu<float>>
using ExpertChoice = MoeLayer<Router<gate::Linear, score::Softmax, select::Column, weigh::Raw>,
                              expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace expert_choice {
inline constexpr Citation citation{"Expert Choice", "Mixture-of-Experts with Expert Choice Routing",
                                   "2202.09368", "formula only; google/flaxformer was read",
                                   "the limit of experts a token"};
using Losses = std::tuple<>;  // balanced by construction

template <class Traits = Cpu<float>>
Published<ExpertChoice<Traits>> defaults() {
  Published<ExpertChoice<Traits>> p{{768, 64, 3072}, {}, 0.f};
  p.config.router.select.k = 2.0;
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace expert_choice

}  // namespace xmoe::inline XMOE_ABI::recipes
