// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/gate/noisy.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/training/loss/importance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Noisy top-k gating, the first of the sparsely gated layers.
///
///   h = W x + n (softplus(V x) + 0.01), n normal and only while training; k largest, w = softmax
///   over them
///
///   published     W and V start at 0; 256 experts of 1024 between layers of 512, k 4, ReLU;
///                 squared coefficients of variation of importance and load
///   ours          coefficient 0.1 of the importance loss
///   not covered   the load loss, recurrent and hierarchical layers
///   verified      formula only; tensorflow/tensor2tensor at bafdc1b6, utils/expert_utils.py was
///                 read
template <class Traits = Cpu<float>>
using NoisyTopK =
    MoeLayer<Router<gate::Noisy<gate::Linear>, score::Identity, select::TopK, weigh::SoftmaxPicked>,
             expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace noisy_top_k {
inline constexpr Citation citation{
    "Noisy top-k",
    "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", "1701.06538",
    "formula only; tensorflow/tensor2tensor was read", "the load loss, hierarchical layers"};
using Balance = loss::Importance<loss::over::SoftmaxOfPicked>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<NoisyTopK<Traits>> defaults() {
  Published<NoisyTopK<Traits>> p{{512, 256, 1024}, {}, 0.1f};
  p.config.router.gate.inner.init_scale = 0.f;
  p.config.router.select.k = 4;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace noisy_top_k

}  // namespace xmoe::inline XMOE_ABI::recipes
