// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/entropy.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Harder tokens get more experts: the best ones until their mass exceeds p, with an entropy loss
/// against flat rows.
///
///   w_te = p_te on the shortest prefix of the sorted row with mass > 0.4
///
///   published     p 0.4 (inclusive: a prefix of exactly 0.4 takes one more), weights not
///                 renormalised, balance and entropy losses
///   ours          D 1024, 16 experts of 2816, balance loss 0.01 on first choices, entropy 1e-4,
///                 independent start
///   verified      formula only; ZhenweiAn/Dynamic_MoE at f56bc20, modeling/modeling_moe.py was
///                 read (inference: not the losses)
template <class Traits = Cpu<float>>
using DynamicTopP = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold, weigh::Raw>,
                             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dynamic_top_p {
inline constexpr Citation citation{
    "Dynamic top-p routing", "Harder Tasks Need More Experts: Dynamic Routing in MoE Models",
    "2403.07652", "formula only; ZhenweiAn/Dynamic_MoE was read", ""};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance, loss::Entropy<loss::scope::Local>>;

template <class Traits = Cpu<float>>
Published<DynamicTopP<Traits>> defaults() {
  Published<DynamicTopP<Traits>> p{{1024, 16, 2816}, {}, 0.01f};
  p.config.router.select.threshold = 0.4f;
  p.config.router.select.inclusive = true;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dynamic_top_p

}  // namespace xmoe::inline XMOE_ABI::recipes
