// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Granite MoE: the k largest logits, softmax over them.
///
///   w_t = softmax over the 8 largest of z_t = W x_t
///
///   published     Granite-3.0-3B-A800M: D 1536, 40 experts of 512, k 8, SwiGLU without biases,
///                 balance loss 0.001
///   ours          balance loss over all ranks per layer (the public code concatenates the layers'
///                 tokens first), independent start
///   not covered   multipliers of embeddings, residuals and logits (outside of the layer)
///   verified      formula only; huggingface/transformers, models/granitemoe was read
template <class Traits = Cpu<float>>
using GraniteMoe =
    MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace granite_moe {
inline constexpr Citation citation{"Granite MoE", "Granite 3.0 Language Models",
                                   "huggingface/transformers",
                                   "formula only; huggingface/transformers was read", ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<GraniteMoe<Traits>> defaults() {
  Published<GraniteMoe<Traits>> p{{1536, 40, 512}, {}, 0.001f};
  p.config.router.select.k = 8;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace granite_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
