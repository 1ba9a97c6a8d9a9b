// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Mixtral: the two largest logits, softmax over the two, SwiGLU experts, nothing dropped.
///
///   published     Mixtral-8x7B: D 4096, 8 experts of 14336, k 2, no biases, SiLU
///   ours          balance loss 0.02 over all ranks on the softmax of all logits, per layer (the
///                 public code concatenates the layers' tokens first), independent start
///   not covered   nothing of the layer
///   verified      formula only; softmax over the picked = softmax over all, divided by the sum of
///                 the picked, is a test
template <class Traits = Cpu<float>>
using Mixtral = MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
                         expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace mixtral {
inline constexpr Citation citation{"Mixtral", "Mixtral of Experts", "2401.04088", "formula only",
                                   ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Mixtral<Traits>> defaults() {
  Published<Mixtral<Traits>> p{{4096, 8, 14336}, {}, 0.02f};
  p.config.router.select.k = 2;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace mixtral

}  // namespace xmoe::inline XMOE_ABI::recipes
