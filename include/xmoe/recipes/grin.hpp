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

/// GRIN: two experts drawn among those close to the best, with a gradient for the choice.
///
///   N = the experts near the largest z, D drawn from softmax over N, w = p_D or a third of it;
///   again without D. In inference D = the best, w = its p over N: the two weights add up to at
///   most 2
///
///   published     D 4096, 16 experts of 6400, SwiGLU, k 2, weights not renormalised, nothing
///                 dropped, jitter of the router's input as large as the margin
///   ours          margin 0.1 as in the code (checkpoints carry their own), balance loss 0.001
///                 over all ranks on the softmax of all logits
///   not covered   nothing of the layer
///   verified      golden numbers of choice, weights and gradient, made with the authors' code:
///                 microsoft/SparseMixer at 1b41d56, sparsemixer/sparsemixer_v2.py
template <class Traits = Cpu<float>>
using Grin = MoeLayer<Router<gate::Linear, score::Identity, select::Draw, weigh::Heun>,
                      expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace grin {
inline constexpr Citation citation{"GRIN", "GRIN: GRadient-INformed MoE", "2409.12136",
                                   "authors' code (microsoft/SparseMixer at 1b41d56)", ""};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Grin<Traits>> defaults() {
  Published<Grin<Traits>> p{{4096, 16, 6400}, {}, 0.001f};
  p.config.router.gate.jitter = 0.1f;
  p.config.router.select.margin = 0.1f;
  p.config.router.select.k = 2;
  p.config.router.weigh.margin = 0.1f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace grin

}  // namespace xmoe::inline XMOE_ABI::recipes
