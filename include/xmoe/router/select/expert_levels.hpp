// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Level with a level of its own for every expert: s_e > theta_e. The order is that of the scores
/// (plus a bias), not of their distance to the level; so is the best if none passes.
///
/// The levels [E] are remembered: no gradient leads to them ("router.select.level").
///
///   in      scores [E]
///   out     min_experts (in training: min_experts_in_training) .. min(E, max_experts) experts
///   ties    the lower index first; a score equal to the level does not pass
///   grad    none: the choice counts as constant
///   cost    O(E), and O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error if start is NaN, unless both minima are 0 or 1, if max_experts < 0
///   source  arXiv 2405.14297; LINs-lab/DynMoE, DeepSpeed-0.9.5/deepspeed/moe/sharded_moe.py
struct ExpertLevels {
  float start = 0.5f;                 ///< level of a new layer
  index max_experts = 0;              ///< upper limit a token; 0 = E
  index min_experts = 1;              ///< 0 or 1, at inference
  index min_experts_in_training = 0;  ///< 0 or 1

  template <class Traits>
  struct Weights {
    Panels<typename Traits::routing> level;  ///< [1,E,1]

    static void tensors(auto& own, auto&& visit) { visit("level", own.level, Role::remembered); }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {Panels<typename Traits::routing>(1, sizes.experts, 1)};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random) const {
    for (index e = 0; e < own.level.rows(); ++e) {
      own.level.at(0, e) = static_cast<typename Traits::routing>(start);
    }
  }

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * detail::limited(max_experts, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    const R* bar = own.level.matrix(0);
    const auto passes = [&](index e) { return row.scores[e] > bar[e]; };
    return detail::take_passing(row, passes, false,
                                row.site.training() ? min_experts_in_training : min_experts);
  }

  void check(Sizes) const {
    if (is_nan(start) || min_experts > 1 || min_experts_in_training > 1) {
      detail::fail<value_error>(
          "xmoe::select::ExpertLevels: start is %g, min_experts is %td, in training %td; need a "
          "number, and 0 or 1",
          static_cast<double>(start), min_experts, min_experts_in_training);
    }
    detail::check_limits("ExpertLevels", min_experts, max_experts, 0);
    detail::check_limits("ExpertLevels", min_experts_in_training, max_experts, 0);
  }
};
static_assert(Select<ExpertLevels>);

}  // namespace xmoe::inline XMOE_ABI::select
