// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DeepSeek-V2: softmax over all experts, the best groups by their best expert, the best k inside.
///
///   w_te = 16 p_te on the 6 largest of p_t = softmax(W x_t) within 3 of 8 groups
///
///   published     D 5120, 160 routed experts of 1536, k 6, 8 groups of which 3,
///                 routed_scaling_factor 16, not renormalised, expert-level balance 0.003
///   ours          balance over the call, independent start
///   not covered   two shared experts, balance losses of devices and of communication, dropping by
///                 device
///   verified      formula only; huggingface/transformers, models/deepseek_v2 was read; choices and
///                 weights of a golden case (test)
template <class Traits = Cpu<float>>
using DeepSeekV2 =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Grouped<select::TopK>, weigh::Raw>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace deepseek_v2 {
inline constexpr Citation citation{
    "DeepSeek-V2",
    "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model",
    "2405.04434", "formula only; huggingface/transformers was read",
    "shared experts, balance of devices and communication"};
using Balance = loss::LoadBalance<loss::counting::AllPerClaim>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<DeepSeekV2<Traits>> defaults() {
  Published<DeepSeekV2<Traits>> p{{5120, 160, 1536}, {}, 0.003f};
  p.config.router.select = {.inner = {6}, .groups = 8, .limit = 3, .best_keys = 1};
  p.config.router.weigh.scale = 16.f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace deepseek_v2

}  // namespace xmoe::inline XMOE_ABI::recipes
