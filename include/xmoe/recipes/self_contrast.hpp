// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/ranks.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>

#include <bit>

namespace xmoe::inline XMOE_ABI::recipes {

/// Self-contrast (SCMoE): a trained layer run with experts of lower ranks, to contrast with.
///
///   p = softmax(z), the ranks `kept` of the k best, w = p / sum of the kept p
///
///   published     Mixtral-8x7B (D 4096, 8 experts of 14336); the strong pass keeps the ranks 0
///                 and 1, the weak one another
///   ours          rank 1 for the weak pass; defaults(0b11) is the strong one
///   not covered   the contrast: two passes of the whole model, next-token scores (1 + beta)
///                 strong - beta weak
///   verified      formula only; DavidFanzz/SCMoE at 857fad7, decodingmethod/moe_utils.py was read
template <class Traits = Cpu<float>>
using SelfContrast =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Ranks<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace self_contrast {
inline constexpr Citation citation{
    "Self-contrast MoE",
    "Unchosen Experts Can Contribute Too: Unleashing MoE Models' Power by Self-Contrast",
    "2405.14507", "formula only; DavidFanzz/SCMoE was read",
    "the contrast of two passes of the model"};
using Losses = std::tuple<>;  // a matter of inference

template <class Traits = Cpu<float>>
Published<SelfContrast<Traits>> defaults(std::uint64_t kept = 0b10) {
  Published<SelfContrast<Traits>> p{{4096, 8, 14336}, {}, 0.f};
  p.config.router.select.kept = kept;
  p.config.router.select.inner.k = static_cast<index>(std::bit_width(kept));
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace self_contrast

}  // namespace xmoe::inline XMOE_ABI::recipes
