// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/sequence_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DeepSeek-V3: sigmoids; a bias that balances the load and the two best of each group order, the
/// scores alone weigh.
///
///   w_te = 2.5 s_te / sum of the chosen s_t, s = sigmoid(W x), the 8 largest s + b within 4 of 8
///   groups
///
///   published     D 7168, 256 routed experts of 2048, k 8, 8 groups of which 4, route_scale 2.5,
///                 balance loss 1e-4 per sequence on s / sum s
///   ours          experts outside of the groups lose always (-Inf), as in the authors' inference
///                 code, independent start
///   not covered   the shared expert, the step of the bias (1e-3 towards the mean load, between
///                 optimiser steps)
///   verified      golden weights with and without groups, made with deepseek-ai/DeepSeek-V3 at
///                 9b4e978, inference/model.py
template <class Traits = Cpu<float>>
using DeepSeekV3 =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::Grouped<select::TopK>>,
                    weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace deepseek_v3 {
inline constexpr Citation citation{"DeepSeek-V3", "DeepSeek-V3 Technical Report", "2412.19437",
                                   "authors' code (deepseek-ai/DeepSeek-V3 at 9b4e978), the gate",
                                   "the shared expert, the step of the bias"};
using Balance = loss::SequenceBalance<>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<DeepSeekV3<Traits>> defaults() {
  Published<DeepSeekV3<Traits>> p{{7168, 256, 2048}, {}, 1e-4f};
  p.config.router.select.inner = {.inner = {8}, .groups = 8, .limit = 4, .best_keys = 2};
  p.config.router.weigh.scale = 2.5f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace deepseek_v3

}  // namespace xmoe::inline XMOE_ABI::recipes
