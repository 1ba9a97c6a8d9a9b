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

/// Kimi K2: sigmoids ordered with a bias, the best k of all (one group), renormalised and scaled.
///
///   w_te = 2.827 s_te / sum of the chosen s_t, s = sigmoid(W x), the 8 largest s + b
///
///   published     D 7168, 384 experts of 2048, k 8, one group, routed_scaling_factor 2.827
///   ours          balance loss 1e-4 per sequence, independent start
///   not covered   the shared expert, the step of the bias
///   verified      formula only; huggingface/transformers, models/deepseek_v3 (the checkpoint's
///                 type) was read
template <class Traits = Cpu<float>>
using KimiK2 =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace kimi_k2 {
inline constexpr Citation citation{"Kimi K2", "Kimi K2: Open Agentic Intelligence", "2507.20534",
                                   "formula only; huggingface/transformers was read",
                                   "the shared expert, the step of the bias"};
using Balance = loss::SequenceBalance<>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<KimiK2<Traits>> defaults() {
  Published<KimiK2<Traits>> p{{7168, 384, 2048}, {}, 1e-4f};
  p.config.router.select.inner.k = 8;
  p.config.router.weigh.scale = 2.827f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace kimi_k2

}  // namespace xmoe::inline XMOE_ABI::recipes
