// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>
#include <xmoe/training/loss/z_loss.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// OLMoE: softmax over all experts, the best k, their probabilities as they are.
///
///   w_te = p_te on the 8 largest of p_t = softmax(W x_t)
///
///   published     OLMoE-1B-7B: D 2048, 64 experts of 1024, k 8, norm_topk_prob off, SwiGLU without
///                 biases, balance loss 0.01, z-loss 0.001
///   ours          balance loss over all ranks per layer (the public code concatenates the layers'
///                 tokens first), independent start
///   verified      formula only; huggingface/transformers, models/olmoe was read
template <class Traits = Cpu<float>>
using Olmoe = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
                       expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace olmoe {
inline constexpr Citation citation{"OLMoE", "OLMoE: Open Mixture-of-Experts Language Models",
                                   "2409.02060", "formula only; huggingface/transformers was read",
                                   ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken>;
using Losses = std::tuple<Balance, loss::ZLoss>;

template <class Traits = Cpu<float>>
Published<Olmoe<Traits>> defaults() {
  Published<Olmoe<Traits>> p{{2048, 64, 1024}, {}, 0.01f};
  p.config.router.select.k = 8;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace olmoe

}  // namespace xmoe::inline XMOE_ABI::recipes
