// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// MoWE: a fixed map from the ids of a large routing vocabulary to word experts.
///
///   y_t = f_e(x_t), e = table[id_t]; an id with -1 has none: y_t = 0
///
///   published     32 Ki experts, a routing vocabulary of about 1 Mi entries, no router, no loss
///   ours          table [V,1] is the caller's; D 512, experts of 64; the most frequent ids get -1
///   not covered   sharing of the experts between layers, blocks and frequency buckets of the map
///   verified      after the abstract, and notes on the paper
template <class Traits = Cpu<float>>
using Mowe = MoeLayer<Lookup, expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace mowe {
inline constexpr Citation citation{
    "MoWE", "Memory Augmented Language Models through Mixture of Word Experts", "2311.10768",
    "after the abstract, and notes on the paper", "sharing of the experts between layers"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<Mowe<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<Mowe<Traits>> p{{512, 32768, 64}, {}, 0.f};
  p.config.router.table = table;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace mowe

}  // namespace xmoe::inline XMOE_ABI::recipes
