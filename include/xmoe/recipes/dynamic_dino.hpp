// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Dynamic-DINO: two experts by softmax over their logits, the sum of the weights k.
///
///   w_t = 2 softmax over the 2 largest of z_t = W x_t
///
///   published     k 2; experts are pieces of a trained FFN, so that at the start all weights
///                 together restore its output
///   ours          D 256, 16 experts of 512, ReLU with biases, balance loss 0.01 on first choices
///   not covered   experts cut from the trained FFN, equal router rows for the pieces of one FFN
///                 (load both)
///   verified      after the abstract, and a description of the method
template <class Traits = Cpu<float>>
using DynamicDino =
    MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
             expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace dynamic_dino {
inline constexpr Citation citation{"Dynamic-DINO",
                                   "Dynamic-DINO: Fine-Grained Mixture of Experts Tuning for "
                                   "Real-time Open-Vocabulary Object Detection",
                                   "2507.17436",
                                   "after the abstract, and a description of the method",
                                   "the start from a trained FFN"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<DynamicDino<Traits>> defaults() {
  Published<DynamicDino<Traits>> p{{256, 16, 512}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.router.weigh.scale = 2.f;
  return p;
}
}  // namespace dynamic_dino

}  // namespace xmoe::inline XMOE_ABI::recipes
