// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized_by.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DBRX: softmax over all experts, the best four, divided by a norm of their probabilities.
///
///   w_te = p_te / |chosen p_t|_q, p_t = softmax(W x_t)
///
///   published     D 6144, 16 experts of 10752, k 4, q = moe_normalize_expert_weights = 1, SwiGLU
///                 without biases
///   ours          balance loss 0.05 over all ranks per layer, no jitter of the router's input,
///                 independent start
///   verified      formula only; huggingface/transformers, models/dbrx was read
template <class Traits = Cpu<float>>
using Dbrx = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::NormalizedBy>,
                      expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dbrx {
inline constexpr Citation citation{"DBRX", "Introducing DBRX: A New State-of-the-Art Open LLM",
                                   "databricks/dbrx",
                                   "formula only; huggingface/transformers was read", ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Dbrx<Traits>> defaults() {
  Published<Dbrx<Traits>> p{{6144, 16, 10752}, {}, 0.05f};
  p.config.router.select.k = 4;
  p.config.router.weigh.p = 1.f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dbrx

}  // namespace xmoe::inline XMOE_ABI::recipes
