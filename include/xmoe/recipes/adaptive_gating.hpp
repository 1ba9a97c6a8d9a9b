// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/gap.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Adaptive gating: a second expert only for tokens whose router is undecided.
///
///   p = softmax(z), the best expert, and the second if p_0 - p_1 <= 0.1; w = p / sum of the
///   chosen p
///
///   published     gap 0.1 (0.2 for question answering), 16 experts, nothing dropped, coefficient
///                 0.01
///   ours          D 768, experts of 3072, GELU; the balance loss counts every token's first
///                 choice where the paper counts only tokens with one expert
///   not covered   that count; the order of the samples (curriculum)
///   verified      formula only; no public code
template <class Traits = Cpu<float>>
using AdaptiveGating =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Gap, weigh::Normalized>,
             expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace adaptive_gating {
inline constexpr Citation citation{
    "Adaptive gating", "Adaptive Gating in Mixture-of-Experts based Language Models", "2310.07188",
    "formula only", "the balance loss on tokens with one expert, the curriculum"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<AdaptiveGating<Traits>> defaults() {
  Published<AdaptiveGating<Traits>> p{{768, 16, 3072}, {}, 0.01f};
  p.config.router.select.gap = 0.1f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace adaptive_gating

}  // namespace xmoe::inline XMOE_ABI::recipes
