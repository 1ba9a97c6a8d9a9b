// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/weigh/normalized.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// LaDiMo: layers of a dense model distilled into experts, each layer with a policy of its own.
///
///   p = softmax(z), the shortest prefix whose mass reaches t, w = p / sum of the chosen p
///
///   published     the weights of the router are profiled on some data, then a policy a layer is
///                 fixed
///   ours          the threshold as that policy (t 0.9; a number of experts: max_experts), sizes:
///                 LLaMA2-7B (D 4096, 11008 wide) in 8 experts of 1376
///   not covered   the distillation, the rule from profile to policy
///   verified      after the abstract
template <class Traits = Cpu<float>>
using LaDiMo = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold, weigh::Normalized>,
                        expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace ladimo {
inline constexpr Citation citation{"LaDiMo", "LaDiMo: Layer-wise Distillation Inspired MoEfier",
                                   "2408.04278", "after the abstract",
                                   "the distillation, the rule from profile to policy"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<LaDiMo<Traits>> defaults() {
  Published<LaDiMo<Traits>> p{{4096, 8, 1376}, {}, 0.f};
  p.config.router.select.threshold = 0.9f;
  return p;
}
}  // namespace ladimo

}  // namespace xmoe::inline XMOE_ABI::recipes
