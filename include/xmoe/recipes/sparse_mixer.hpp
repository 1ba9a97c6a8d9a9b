// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/draw.hpp>
#include <xmoe/router/weigh/sampled.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// SparseMixer: one expert drawn among those close to the best; the midpoint rule estimates the
/// gradient of the draw.
///
///   w_te = p_te or p_te / 2, p_t = softmax of z_t over the near-best set, e ~ p_t
///
///   published     margin 0.1, k 1
///   ours          D 512, 8 experts of 2048, ReLU, balance loss 0.01 with probabilities of all
///                 experts (theirs: of the near-best set), independent start
///   not covered   the learned scale [D] of the output (starts at 1)
///   verified      golden draws, weights and gradients made with microsoft/SparseMixer at 1b41d56,
///                 sparsemixer.py
template <class Traits = Cpu<float>>
using SparseMixer = MoeLayer<Router<gate::Linear, score::Identity, select::Draw, weigh::Midpoint>,
                             expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace sparse_mixer {
inline constexpr Citation citation{"SparseMixer", "Sparse Backpropagation for MoE Training",
                                   "2310.00811", "authors' code (microsoft/SparseMixer at 1b41d56)",
                                   "the learned scale of the output"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<SparseMixer<Traits>> defaults() {
  Published<SparseMixer<Traits>> p{{512, 8, 2048}, {}, 0.01f};
  p.config.router.select = {.margin = 0.1f, .k = 1};
  p.config.router.weigh.margin = 0.1f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace sparse_mixer

}  // namespace xmoe::inline XMOE_ABI::recipes
