// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// GShard: the two best experts, weights g / (g1 + g2), all first choices before all second ones.
///
///   published     k 2, weights normalised before capacity, capacity of two rows a token and expert
///                 share, balance loss on first choices, ReLU experts without biases
///   ours          sizes (D 1024, 8 experts of 4096), C = ceil(2 T / E) where the paper rounds T/E
///                 first, independent start
///   not covered   the randomly skipped second expert (this is the deterministic variant)
///   verified      formula only; tensorflow/mesh, mesh_tensorflow/transformer/moe.py
///   (_top_2_gating)
template <class Traits = Cpu<float>>
using GShard =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
             expert::Ffn<activation::Relu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace gshard {
inline constexpr Citation citation{
    "GShard", "GShard: Scaling Giant Models with Conditional Computation and Automatic Sharding",
    "2006.16668", "formula only", "the randomly skipped second expert"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<GShard<Traits>> defaults() {
  Published<GShard<Traits>> p{{1024, 8, 4096}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.dispatch.factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace gshard

}  // namespace xmoe::inline XMOE_ABI::recipes
