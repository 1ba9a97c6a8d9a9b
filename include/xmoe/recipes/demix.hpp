// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DEMix: one expert a domain, chosen by the document's label.
///
///   y_t = f_e(x_t), e = table[domain of t]
///
///   published     one expert a domain, weight 1, in every layer; 8 domains
///   ours          table [domains,1] is the caller's (the identity); D 768, experts of 3072, GELU
///   not covered   the mixture at inference: posterior over domains, on the outputs of the whole
///                 model
///   verified      formula only; kernelmachine/demix at 2caff3f was read
template <class Traits = Cpu<float>>
using Demix = MoeLayer<Lookup, expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace demix {
inline constexpr Citation citation{
    "DEMix", "DEMix Layers: Disentangling Domains for Modular Language Modeling", "2108.05036",
    "formula only; kernelmachine/demix was read", "the mixture of whole models at inference"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<Demix<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<Demix<Traits>> p{{768, 8, 3072}, {}, 0.f};
  p.config.router.table = table;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace demix

}  // namespace xmoe::inline XMOE_ABI::recipes
