// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// SkillNet: a fixed list of skill modules for every modality, their mean.
///
///   y_t = 1/n sum of f_e(x_t) over the n experts of table[modality of t]
///
///   published     a modality activates the skills that it needs, with the same list while
///                 pre-training
///   ours          the mean; table [modalitys,n] is the caller's; D 768, 5 experts of 3072, GELU
///   not covered   how outputs are combined is not in the abstract
///   verified      after the abstract
template <class Traits = Cpu<float>>
using SkillNetModalities =
    MoeLayer<Lookup, expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace skillnet_modalities {
inline constexpr Citation citation{"SkillNet",
                                   "One Model, Multiple Modalities: A Sparsely Activated Approach "
                                   "for Text, Sound, Image, Video and Code",
                                   "2205.06126", "after the abstract",
                                   "the published combination of outputs"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<SkillNetModalities<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<SkillNetModalities<Traits>> p{{768, 5, 3072}, {}, 0.f};
  p.config.router.table = table;
  p.config.router.equal_share = true;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace skillnet_modalities

}  // namespace xmoe::inline XMOE_ABI::recipes
