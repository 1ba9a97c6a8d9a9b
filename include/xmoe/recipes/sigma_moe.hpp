// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/adjust/expert_dropout.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/entropy.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// sigma-MoE: sigmoids without competition, random experts left out while training, an entropy loss
/// on their mean use.
///
///   w_te = sigmoid(z_te) on the k largest
///
///   published     the small model of WikiText-103: D 412, 16 experts of 128, k 4, ReLU without
///                 biases; experts start as one dense FFN of width E H
///   ours          dropout of experts 0.05, entropy 0.001, rows of the router not rescaled to equal
///                 length
///   not covered   activation by transport ("sinkmoid")
///   verified      formula only; RobertCsordas/moe_layer at c9b9c01 was read
template <class Traits = Cpu<float>>
using SigmaMoe = MoeLayer<Router<gate::Adjusted<gate::Linear, adjust::ExpertDropout>,
                                 score::Sigmoid, select::TopK, weigh::Raw>,
                          expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace sigma_moe {
inline constexpr Citation citation{
    "sigma-MoE", "Approximating Two-Layer Feedforward Networks for Efficient Transformers",
    "2310.10837", "formula only; RobertCsordas/moe_layer was read", "the start of the router"};
using Losses = std::tuple<loss::Entropy<loss::scope::Global, loss::over::SoftmaxOfLogits>>;

template <class Traits = Cpu<float>>
Published<SigmaMoe<Traits>> defaults() {
  Published<SigmaMoe<Traits>> p{{412, 16, 128}, {}, 0.001f};
  p.config.router.gate.adjust.rate = 0.05f;
  p.config.router.select.k = 4;
  p.config.expert.bias = false;
  p.config.expert.init = {expert::Init::Shape::normal, false, 0.0492665f, 0.0220971f};
  return p;
}
}  // namespace sigma_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
