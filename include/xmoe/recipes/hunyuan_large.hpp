// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Hunyuan-Large: softmax over all experts, the best one with its probability, beside a shared
/// expert.
///
///   w_te = p_te on the largest of p_t = softmax(W x_t)
///
///   published     D 6400, 16 experts of 18304, k 1, SwiGLU without biases
///   ours          balance loss 0.001 on first choices, independent start
///   not covered   the shared expert, recycling of dropped tokens to random experts (here nothing
///                 is dropped)
///   verified      formula only; ml-explore/mlx-lm, models/hunyuan.py was read
template <class Traits = Cpu<float>>
using HunyuanLarge = MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne, weigh::Raw>,
                              expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace hunyuan_large {
inline constexpr Citation citation{
    "Hunyuan-Large",
    "Hunyuan-Large: An Open-Source MoE Model with 52 Billion Activated Parameters by Tencent",
    "2411.02265", "formula only; ml-explore/mlx-lm was read",
    "the shared expert, recycling of dropped tokens"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<HunyuanLarge<Traits>> defaults() {
  Published<HunyuanLarge<Traits>> p{{6400, 16, 18304}, {}, 0.001f};
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace hunyuan_large

}  // namespace xmoe::inline XMOE_ABI::recipes
