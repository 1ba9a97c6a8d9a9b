// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/prior.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// A prior shapes the router: the probabilities of every expert follow a Dirichlet distribution's
/// marginal.
///
///   w_te = p_te / sum of the chosen p_t, p_t = softmax(W x_t); the loss is the system
///
///   published     a symmetric concentration about 0.75 to 1, on top of any router
///   ours          the router below it (softmax, k 2, renormalised), the distance (squared distance
///                 of distribution functions), D 2048, 8 experts of 5632, concentration 1
///   verified      after the abstract; the distance is a choice of this library
template <class Traits = Cpu<float>>
using Dpsl = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
                      expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dpsl {
inline constexpr Citation citation{
    "DPSL", "Dirichlet-Prior Shaping: Guiding Expert Specialization in Upcycled MoEs", "2510.01185",
    "after the abstract; the distance is a choice", "the published distance"};
using Losses = std::tuple<loss::Prior<>>;

template <class Traits = Cpu<float>>
Published<Dpsl<Traits>> defaults() {
  Published<Dpsl<Traits>> p{{2048, 8, 5632}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.expert.init.copied = true;
  return p;
}
}  // namespace dpsl

}  // namespace xmoe::inline XMOE_ABI::recipes
