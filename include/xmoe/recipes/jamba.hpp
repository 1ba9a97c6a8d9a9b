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

namespace xmoe::inline XMOE_ABI::recipes {

/// Jamba: softmax over all experts, the best two, their probabilities as they are.
///
///   w_te = p_te on the 2 largest of p_t = softmax(W x_t)
///
///   published     D 4096, 16 experts of 14336, k 2, SwiGLU without biases, balance loss 0.001
///   ours          balance loss over all ranks per layer (the public code concatenates the layers'
///                 tokens first), independent start
///   verified      formula only; huggingface/transformers, models/jamba was read. ml-explore/mlx-lm
///                 divides by the sum of the two: another function
template <class Traits = Cpu<float>>
using Jamba = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
                       expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace jamba {
inline constexpr Citation citation{"Jamba", "Jamba: A Hybrid Transformer-Mamba Language Model",
                                   "2403.19887", "formula only; huggingface/transformers was read",
                                   ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Jamba<Traits>> defaults() {
  Published<Jamba<Traits>> p{{4096, 16, 14336}, {}, 0.001f};
  p.config.router.select.k = 2;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace jamba

}  // namespace xmoe::inline XMOE_ABI::recipes
