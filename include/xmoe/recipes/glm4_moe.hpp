// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/sequence_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// GLM-4.5: sigmoids ordered with a bias, the best k of all (one group), renormalised and scaled.
///
///   w_te = 2.5 s_te / sum of the chosen s_t, s = sigmoid(W x), the 8 largest s + b
///
///   published     GLM-4.5: D 5120, 160 experts of 1536, k 8, one group, routed_scaling_factor 2.5
///   ours          balance loss 1e-4 per sequence, independent start
///   not covered   the shared expert, the step of the bias
///   verified      formula only; huggingface/transformers, models/glm4_moe was read
template <class Traits = Cpu<float>>
using Glm4Moe =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace glm4_moe {
inline constexpr Citation citation{
    "GLM-4.5", "GLM-4.5: Agentic, Reasoning, and Coding (ARC) Foundation Models", "2508.06471",
    "formula only; huggingface/transformers was read", "the shared expert, the step of the bias"};
using Balance = loss::SequenceBalance<>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Glm4Moe<Traits>> defaults() {
  Published<Glm4Moe<Traits>> p{{5120, 160, 1536}, {}, 1e-4f};
  p.config.router.select.inner.k = 8;
  p.config.router.weigh.scale = 2.5f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace glm4_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
