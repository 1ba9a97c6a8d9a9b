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

/// Qwen2-MoE: softmax over all experts, the best k, their probabilities as they are, beside a
/// shared expert.
///
///   w_te = p_te on the 8 largest of p_t = softmax(W x_t)
///
///   published     Qwen2-57B-A14B: D 3584, 64 experts of 2560, k 8, norm_topk_prob off, SwiGLU
///                 without biases, balance loss 0.001
///   ours          balance loss over all ranks per layer (the public code concatenates the layers'
///                 tokens first), independent start
///   not covered   the shared expert and its gate sigmoid(<g, x>)
///   verified      formula only; huggingface/transformers, models/qwen2_moe was read
template <class Traits = Cpu<float>>
using Qwen2Moe = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
                          expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace qwen2_moe {
inline constexpr Citation citation{"Qwen2-MoE", "Qwen2 Technical Report", "2407.10671",
                                   "formula only; huggingface/transformers was read",
                                   "the gated shared expert"};
using Balance = loss::LoadBalance<loss::counting::AllPerToken>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Qwen2Moe<Traits>> defaults() {
  Published<Qwen2Moe<Traits>> p{{3584, 64, 2560}, {}, 0.001f};
  p.config.router.select.k = 8;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace qwen2_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
