// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/relative_to_best.hpp>
#include <xmoe/router/weigh/normalized.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// A trained Mixtral skips its second expert where that has too small a part.
///
///   k_t = 2 if p_2 >= beta p_1, else 1; w = p / sum of the chosen
///
///   published     Mixtral-8x7B; beta = median of p_2 / p_1 of a layer on calibration data;
///                 inference only
///   ours          beta 0.5 until it is calibrated
///   not covered   pruning of experts, calibration (set router.select.ratio)
///   verified      formula only; Lucky-Lance/Expert_Sparsity at 16067c0, model/modeling_mixtral.py
///                 was read
template <class Traits = Cpu<float>>
using DynamicSkipping =
    MoeLayer<Router<gate::Linear, score::Softmax, select::RelativeToBest, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dynamic_skipping {
inline constexpr Citation citation{"Dynamic skipping",
                                   "Not All Experts are Equal: Efficient Expert Pruning and "
                                   "Skipping for Mixture-of-Experts Large Language Models",
                                   "2402.14800",
                                   "formula only; Lucky-Lance/Expert_Sparsity was read",
                                   "pruning of experts, calibration"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<DynamicSkipping<Traits>> defaults() {
  Published<DynamicSkipping<Traits>> p{{4096, 8, 14336}, {}, 0.f};
  p.config.router.select = {.ratio = 0.5f, .max_experts = 2};
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dynamic_skipping

}  // namespace xmoe::inline XMOE_ABI::recipes
