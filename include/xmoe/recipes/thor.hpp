// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// THOR: one random expert for a whole batch, with full weight; two passes that have to agree.
///
///   y_t = f_e(x_t), e drawn uniformly for the call
///
///   published     one expert a call (training), weight 1, coefficient 1 of the agreement
///   ours          table [1,1] holds the expert that the caller drew; D 512, 8 experts of 2048,
///                 ReLU
///   not covered   the draw, the second pass and the agreement of the model's two outputs (0.5 (p -
///                 q)(ln p - ln q)), a draw for every token or sentence at inference: a table [I,1]
///                 with ids does that
///   verified      formula only; microsoft/Stochastic-Mixture-of-Experts at 7c43d18 was read
template <class Traits = Cpu<float>>
using Thor = MoeLayer<Lookup, expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace thor {
inline constexpr Citation citation{
    "THOR", "Taming Sparsely Activated Transformer with Stochastic Experts", "2110.04260",
    "formula only; microsoft/Stochastic-Mixture-of-Experts was read",
    "the draw and the second pass"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<Thor<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<Thor<Traits>> p{{512, 8, 2048}, {}, 0.f};
  p.config.router.table = table;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace thor

}  // namespace xmoe::inline XMOE_ABI::recipes
