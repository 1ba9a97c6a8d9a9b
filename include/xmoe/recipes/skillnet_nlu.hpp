// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/lookup.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// SkillNet-NLU: a fixed list of skill modules for every task, their mean.
///
///   y_t = 1/n sum of f_e(x_t) over the n experts of table[task of t]
///
///   published     a task activates the skills that it needs, with the same list while pre-training
///   ours          the mean; table [tasks,n] is the caller's; D 768, 7 experts of 3072, GELU
///   not covered   how outputs are combined is not in the abstract
///   verified      after the abstract
template <class Traits = Cpu<float>>
using SkillNetNlu = MoeLayer<Lookup, expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace skillnet_nlu {
inline constexpr Citation citation{
    "SkillNet-NLU",
    "SkillNet-NLU: A Sparsely Activated Model for General-Purpose Natural Language Understanding",
    "2203.03312", "after the abstract", "the published combination of outputs"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<SkillNetNlu<Traits>> defaults(MatrixView<const std::int32_t> table = {}) {
  Published<SkillNetNlu<Traits>> p{{768, 7, 3072}, {}, 0.f};
  p.config.router.table = table;
  p.config.router.equal_share = true;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace skillnet_nlu

}  // namespace xmoe::inline XMOE_ABI::recipes
