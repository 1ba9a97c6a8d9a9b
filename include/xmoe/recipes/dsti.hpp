// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/gate/projected.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/relu.hpp>
#include <xmoe/router/select/share.hpp>
#include <xmoe/router/weigh/unit.hpp>
#include <xmoe/training/loss/imitate.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DSTI: the parts of a dense FFN, and a small net that predicts how much each part has to say.
///
///   n = relu(W2 relu(W1 x + b1) + b2), the shortest prefix of the largest n with a share tau of
///   their sum, w = 1
///
///   published     the net predicts the norms of the parts' outputs by squared error, everything
///                 else frozen; parts add up with weight 1
///   ours          sizes (D 768, 96 parts of 32, net 128 wide), tau 0.9; negative predictions
///                 count as 0; convert::dense_to_experts fills the parts. By the largest norm
///                 instead: select::RelativeToBest, ratio 1 - tau
///   not covered   the training that makes activations sparse, how neurons are grouped
///   verified      formula only; bartwojcik/D2DMoE at a7027cd, architectures/moe/moefication.py
///                 was read
template <class Traits = Cpu<float>>
using Dsti = MoeLayer<Router<gate::Projected<gate::Linear, activation::Relu>, score::Relu,
                             select::Share, weigh::Unit>,
                      expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace dsti {
inline constexpr Citation citation{
    "DSTI", "Exploiting Transformer Activation Sparsity with Dynamic Inference", "2310.04361",
    "formula only; bartwojcik/D2DMoE was read", "sparsifying and grouping the neurons"};
using Norms = loss::Imitate<loss::measure::SquaredError, loss::over::Scores>;
using Losses = std::tuple<Norms>;

template <class Traits = Cpu<float>>
Published<Dsti<Traits>> defaults() {
  Published<Dsti<Traits>> p{{768, 96, 32}, {}, 0.f};
  p.config.router.gate.dim = 128;
  p.config.router.gate.bias = true;
  p.config.router.gate.inner.bias = true;
  p.config.router.select.share = 0.9f;
  return p;
}
}  // namespace dsti

}  // namespace xmoe::inline XMOE_ABI::recipes
