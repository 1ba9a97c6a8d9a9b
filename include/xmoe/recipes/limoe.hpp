// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/entropy.hpp>
#include <xmoe/training/loss/importance.hpp>
#include <xmoe/training/loss/z_loss.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// LIMoE: images and texts through one router, kept sharp and diverse by entropies.
///
///   p = softmax(z), one expert, w = p; an expert keeps its C largest p
///
///   published     32 experts, one a token, best tokens first; losses: entropy of a token (low),
///                 entropy of the mean with a soft minimum (high), importance, load, z-loss
///   ours          D 768, experts of 3072, GELU, factor 1; the minimum of S experts is
///                 loss::Entropy<loss::scope::Global>{.aim = loss::Aim::at_least, .bound = ln S}
///   not covered   losses for each modality apart (call them on its tokens), the load loss
///   verified      formula only, after a public reimplementation
template <class Traits = Cpu<float>>
using LIMoE = MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne, weigh::Raw>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity, Traits>;

namespace limoe {
inline constexpr Citation citation{
    "LIMoE", "Multimodal Contrastive Learning with LIMoE: the Language-Image Mixture of Experts",
    "2206.02770", "formula only, after a public reimplementation",
    "losses for each modality apart, the load loss"};
using Sharp = loss::Entropy<loss::scope::Local>;
using Diverse = loss::Entropy<loss::scope::Global>;
using Losses = std::tuple<Sharp, Diverse, loss::Importance<>, loss::ZLoss>;

template <class Traits = Cpu<float>>
Published<LIMoE<Traits>> defaults() {
  Published<LIMoE<Traits>> p{{768, 32, 3072}, {}, 0.f};
  p.config.dispatch.factor = 1.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace limoe

}  // namespace xmoe::inline XMOE_ABI::recipes
