// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// ERNIE 4.5: softmax over all experts, ordered with a bias, the best k divided by their sum.
///
///   w_te = p_te / sum of the chosen p_t, p = softmax(W x), the 6 largest p + b
///
///   published     ERNIE-4.5-21B-A3B: D 2560, 64 experts of 1536, k 6, SwiGLU without biases
///   ours          balance loss 0.001 over all ranks, independent start; the guard max(sum, 1e-12)
///                 is smaller
///   not covered   two shared experts, the step of the bias, experts by modality
///   verified      formula only; huggingface/transformers, models/ernie4_5_moe was read
template <class Traits = Cpu<float>>
using Ernie45 =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace ernie_4_5 {
inline constexpr Citation citation{"ERNIE 4.5", "ERNIE 4.5 Technical Report", "PaddlePaddle/ERNIE",
                                   "formula only; huggingface/transformers was read",
                                   "shared experts, the step of the bias, experts by modality"};
using Balance = loss::LoadBalance<loss::counting::AllPerToken>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Ernie45<Traits>> defaults() {
  Published<Ernie45<Traits>> p{{2560, 64, 1536}, {}, 0.001f};
  p.config.router.select.inner.k = 6;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace ernie_4_5

}  // namespace xmoe::inline XMOE_ABI::recipes
