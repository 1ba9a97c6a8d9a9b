// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Capacity-aware inference: a trained top-k layer whose crowded experts keep the best C claims.
///
///   p = softmax(z), k best, w = p; an expert keeps its C = ceil(cf k T / E) largest p
///
///   published     OLMoE (D 2048, 64 experts of 1024, SwiGLU, k 8, weights not renormalised);
///                 claims kept by score, dropped ones weigh 0; inference alone, no training
///   ours          cf 1.5, as eval_factor = cf k; the factor E keeps everything while training
///   not covered   the expanded drop (candidates from the experts of the token's device)
///   verified      formula only; CASE-Lab-UMD/Capacity-Aware-MoE at 174afe8 was read
template <class Traits = Cpu<float>>
using CapacityAware =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
             expert::Glu<activation::Silu>, dispatch::CapacityBy<priority::Probability>, Traits>;

namespace capacity_aware {
inline constexpr Citation citation{
    "Capacity-aware inference",
    "Capacity-Aware Inference: Mitigating the Straggler Effect in Mixture of Experts", "2503.05066",
    "formula only; CASE-Lab-UMD/Capacity-Aware-MoE was read", "the expanded drop"};
using Losses = std::tuple<>;  // a matter of inference

template <class Traits = Cpu<float>>
Published<CapacityAware<Traits>> defaults() {
  Published<CapacityAware<Traits>> p{{2048, 64, 1024}, {}, 0.f};
  p.config.router.select.k = 8;
  p.config.dispatch.factor = 64.0;
  p.config.dispatch.eval_factor = 1.5 * 8.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace capacity_aware

}  // namespace xmoe::inline XMOE_ABI::recipes
