// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/load_balance.hpp>
#include <xmoe/training/loss/z_loss.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// ST-MoE: GShard's two experts, with a loss that keeps logits small.
///
///   w_te = p_te / (p_1 + p_2) on the 2 largest of p_t = softmax(W x_t)
///
///   published     ST-MoE-32B: D 5120, 64 experts of 20480, k 2, capacity factor 1.25 in training
///                 and 2.0 in evaluation, balance loss 1e-2 on first choices, z-loss 1e-3, GEGLU
///   ours          C is rounded up, C_min 1, no biases, independent start
///   not covered   the randomly skipped second expert (threshold 0.2), groups of tokens
///   verified      formula only; google/flaxformer at 399ea3a,
///                 flaxformer/architectures/moe/routing.py was read
template <class Traits = Cpu<float>>
using StMoe =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
             expert::Glu<activation::Gelu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace st_moe {
inline constexpr Citation citation{"ST-MoE",
                                   "ST-MoE: Designing Stable and Transferable Sparse Expert Models",
                                   "2202.08906", "formula only; google/flaxformer was read",
                                   "the randomly skipped second expert, groups of tokens"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance, loss::ZLoss>;

template <class Traits = Cpu<float>>
Published<StMoe<Traits>> defaults() {
  Published<StMoe<Traits>> p{{5120, 64, 20480}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.dispatch.factor = 1.25;
  p.config.dispatch.eval_factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace st_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
