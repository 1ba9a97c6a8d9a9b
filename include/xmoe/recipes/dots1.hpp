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

/// dots.llm1: sigmoids ordered with a bias, the best k of all (one group), renormalised and scaled.
///
///   w_te = 2.5 s_te / sum of the chosen s_t, s = sigmoid(W x), the 6 largest s + b
///
///   published     D 4096, 128 experts of 1408, k 6, one group, routed_scaling_factor 2.5
///   ours          balance loss 1e-4 per sequence, independent start
///   not covered   two shared experts, the step of the bias
///   verified      formula only; huggingface/transformers, models/dots1 was read
template <class Traits = Cpu<float>>
using Dots1 =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dots1 {
inline constexpr Citation citation{"dots.llm1", "dots.llm1 Technical Report", "2506.05767",
                                   "formula only; huggingface/transformers was read",
                                   "two shared experts, the step of the bias"};
using Balance = loss::SequenceBalance<>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Dots1<Traits>> defaults() {
  Published<Dots1<Traits>> p{{4096, 128, 1408}, {}, 1e-4f};
  p.config.router.select.inner.k = 6;
  p.config.router.weigh.scale = 2.5f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dots1

}  // namespace xmoe::inline XMOE_ABI::recipes
