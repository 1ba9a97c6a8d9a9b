// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/draw.hpp>
#include <xmoe/router/weigh/sampled.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Phi-3.5-MoE: two draws among the experts close to the best, weights their probabilities among
/// those.
///
///   w_tr = softmax of z_t over the near-best set of rank r, at the drawn expert; their sum is at
///   most 2
///
///   published     D 4096, 16 experts of 6400, k 2, router_jitter_noise 0.01 as the margin, SwiGLU
///                 without biases
///   ours          balance loss 0.01 on the softmax of all logits, over all ranks, independent
///                 start
///   not covered   jitter of the layer's input (router and experts) while training
///   verified      golden draws, weights and gradients made with microsoft/SparseMixer at 1b41d56,
///                 sparsemixer_v2.py (margins 0.1, 0.25)
template <class Traits = Cpu<float>>
using Phi35Moe = MoeLayer<Router<gate::Linear, score::Identity, select::Draw, weigh::Heun>,
                          expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace phi_3_5_moe {
inline constexpr Citation citation{
    "Phi-3.5-MoE", "Phi-3 Technical Report: A Highly Capable Language Model Locally on Your Phone",
    "2404.14219", "authors' code (microsoft/SparseMixer at 1b41d56), the routing function",
    "jitter of the layer's input"};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Phi35Moe<Traits>> defaults() {
  Published<Phi35Moe<Traits>> p{{4096, 16, 6400}, {}, 0.01f};
  p.config.router.select = {.margin = 0.01f, .k = 2};
  p.config.router.weigh.margin = 0.01f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace phi_3_5_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
