// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/adjust/mask.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// MaskMoE: a fixed table says which experts a word may use, few for rare words.
///
///   p = softmax(z) over the allowed experts, k best, w = p
///
///   published     the table is drawn once; a rare word sees few experts, a frequent one many
///   ours          sizes (D 768, 64 experts of 3072), k 1, everything about capacity and loss; the
///                 table is the caller's: gate.adjust.allowed [words,E], words in Batch::ids
///   not covered   how the table is drawn
///   verified      after the abstract
template <class Traits = Cpu<float>>
using MaskMoE = MoeLayer<
    Router<gate::Adjusted<gate::Linear, adjust::Mask>, score::Softmax, select::TopK, weigh::Raw>,
    expert::Ffn<activation::Gelu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace mask_moe {
inline constexpr Citation citation{
    "MaskMoE", "MaskMoE: Boosting Token-Level Learning via Routing Mask in Mixture-of-Experts",
    "2407.09816", "after the abstract", "how the table is drawn"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<MaskMoE<Traits>> defaults() {
  Published<MaskMoE<Traits>> p{{768, 64, 3072}, {}, 0.01f};
  p.config.router.select.k = 1;
  p.config.dispatch.factor = 1.25;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace mask_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
