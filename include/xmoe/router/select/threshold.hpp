// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The shortest prefix of the experts, best first, whose mass reaches `threshold`.
///
/// Rank r is taken if r = 0, or if the scores of the ranks before it add up to less than the
/// threshold (exclusive sum, strict comparison). Hence at least one expert, if one is allowed;
/// t <= 0 is top-1; t > 1 is every expert. Top-p routing compares inclusively: one expert more
/// where the sum hits the threshold exactly.
///
///   in      scores [E]: probabilities
///   out     min_experts .. min(E, max_experts) experts
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error if threshold is NaN, or for impossible limits
///   source  arXiv 2403.18926; ysngki/XMoE, MoE-Megatron-DeepSpeed/megatron/model/mlp_gating.py;
///           inclusive: arXiv 2403.07652; ZhenweiAn/Dynamic_MoE, modeling/modeling_moe.py
struct Threshold {
  float threshold = 0.9f;  ///< probability mass to collect
  index max_experts = 0;   ///< upper limit a token; 0 = E
  bool inclusive = false;  ///< take the next one if the sum is the threshold exactly
  index min_experts = 1;   ///< lower limit a token

  static constexpr bool needs_probabilities = true;  ///< rows of scores must sum to 1

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * detail::room_for_share(threshold, min_experts, max_experts, experts);
  }
  /// In an order that a bias has changed, a prefix may need every expert.
  XMOE_HD index max_assignments_in_any_order(index tokens, index experts) const {
    return tokens * detail::limited(max_experts, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    const index limit = row.chosen.size();
    const R enough = static_cast<R>(threshold);
    R mass = R(0);
    index count = 0;
    while (count < limit && (count < min_experts || (inclusive ? mass <= enough : mass < enough)) &&
           order.next(row.chosen[count])) {
      mass += row.scores[row.chosen[count]];
      ++count;
    }
    return count;
  }

  void check(Sizes) const {
    if (is_nan(threshold)) {
      detail::fail<value_error>("xmoe::select::Threshold: threshold is %g, must be a number",
                                static_cast<double>(threshold));
    }
    detail::check_limits("Threshold", min_experts, max_experts, 1);
  }
};
static_assert(Select<Threshold>);

}  // namespace xmoe::inline XMOE_ABI::select
