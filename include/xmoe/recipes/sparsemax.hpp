// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/sparsemax.hpp>
#include <xmoe/router/select/level.hpp>
#include <xmoe/router/weigh/raw.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// The router's probabilities are a sparsemax: those that are not 0 choose themselves.
///
///   w_te = max(z_te - tau_t, 0), tau_t such that the sum is 1
///
///   published     the activation and its gradient (a layer of experts is not in the paper)
///   ours          the layer: D 512, 8 experts of 2048, no loss on the router, independent start
///   not covered   the sparsemax loss for labels
///   verified      golden rows made with deep-spin/entmax at c2bec6d
template <class Traits = Cpu<float>>
using SparsemaxMoe = MoeLayer<Router<gate::Linear, score::Sparsemax, select::Level, weigh::Raw>,
                              expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace sparsemax {
inline constexpr Citation citation{
    "Sparsemax router",
    "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification",
    "1602.02068", "authors' code (deep-spin/entmax at c2bec6d), the activation",
    "the sparsemax loss"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<SparsemaxMoe<Traits>> defaults() {
  Published<SparsemaxMoe<Traits>> p{{512, 8, 2048}, {}, 0.f};
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace sparsemax

}  // namespace xmoe::inline XMOE_ABI::recipes
