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

/// DeepSeekMoE: fine experts, softmax over all, the best k with their probabilities, beside shared
/// experts.
///
///   w_te = p_te on the 6 largest of p_t = softmax(W x_t)
///
///   published     the 16B model: D 2048, 64 routed experts of 1408, k 6, norm_topk_prob off (on:
///                 weigh::Normalized), SwiGLU without biases, balance loss 0.001 over all ranks
///   ours          balance over the call, independent start
///   not covered   two shared experts, the device-level balance loss
///   verified      formula only; the public code of the 16B checkpoint was read (in
///                 giangdip2410/USMoE, modeling_deepseek.py)
template <class Traits = Cpu<float>>
using DeepSeekMoe = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
                             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace deepseek_moe {
inline constexpr Citation citation{
    "DeepSeekMoE",
    "DeepSeekMoE: Towards Ultimate Expert Specialization in Mixture-of-Experts Language Models",
    "2401.06066", "formula only; the checkpoint's code was read",
    "shared experts, device-level balance"};
using Balance = loss::LoadBalance<loss::counting::AllPerClaim>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<DeepSeekMoe<Traits>> defaults() {
  Published<DeepSeekMoe<Traits>> p{{2048, 64, 1408}, {}, 0.001f};
  p.config.router.select.k = 6;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace deepseek_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
