// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Hash layers: a fixed random table from token id to expert.
///
///   y_t = f_e(x_t), e = table[id_t]
///
///   published     one expert a token, weight 1, no loss
///   ours          table [V,1] is the caller's; D 1024, 16 experts of 4096, ReLU; several tables:
///                 columns and weight 1 / k
///   not covered   the generator of the table (load it)
///   verified      formula only; facebookresearch/ParlAI, projects/params_vs_compute/hash_ladder
///                 was read
template <class Traits = Cpu<float>>
using HashLayers = MoeLayer<Lookup, expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace hash_layers {
inline constexpr Citation citation{"Hash layers", "Hash Layers For Large Sparse Models",
                                   "2106.04426", "formula only; facebookresearch/ParlAI was read",
                                   "the generator of the table"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<HashLayers<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<HashLayers<Traits>> p{{1024, 16, 4096}, {}, 0.f};
  p.config.router.table = table;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace hash_layers

}  // namespace xmoe::inline XMOE_ABI::recipes
