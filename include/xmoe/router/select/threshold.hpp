// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>
#include <xmoe/core/bits.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The shortest prefix of the experts, best first, whose mass reaches `threshold`.
///
/// Rank r is taken if r = 0, or if the scores of the ranks before it add up to less than the
/// threshold (exclusive sum, strict comparison). Hence at least one expert, if one is allowed;
/// t <= 0 is top-1; t > 1 is every expert.
///
///   in      scores [E]: probabilities
///   out     1 .. min(E, max_experts) experts
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error if threshold is NaN or max_experts is negative
///   source  arXiv 2403.18926; ysngki/XMoE, MoE-Megatron-DeepSpeed/megatron/model/mlp_gating.py
struct Threshold {
  float threshold = 0.9f;  ///< probability mass to collect
  index max_experts = 0;   ///< upper limit a token; 0 = E

  static constexpr bool needs_probabilities = true;  ///< rows of scores must sum to 1

  /// Experts in the order of their scores: the mean of a prefix is at least 1/E, so at most
  /// ceil(t E) are needed; one more for rounding.
  index max_assignments(index tokens, index experts) const {
    index limit = max_assignments_in_any_order(1, experts);
    if (threshold <= 0.f) {
      limit = 1;
    } else if (threshold <= 1.f) {
      const auto bound =
          static_cast<index>(static_cast<double>(threshold) * static_cast<double>(experts)) + 2;
      limit = bound < limit ? bound : limit;
    }
    return tokens * limit;
  }
  /// In an order that a bias has changed, a prefix may need every expert.
  index max_assignments_in_any_order(index tokens, index experts) const {
    return tokens * (max_experts > 0 && max_experts < experts ? max_experts : experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    const index limit = row.chosen.size();
    R mass = R(0);
    index count = 0;
    while (count < limit && (count == 0 || mass < static_cast<R>(threshold)) &&
           order.next(row.chosen[count])) {
      mass += row.scores[row.chosen[count]];
      ++count;
    }
    return count;
  }

  void check(Sizes) const {
    if (is_nan(threshold) || max_experts < 0) {
      detail::fail<value_error>(
          "xmoe::select::Threshold: threshold is %g, max_experts is %td; need a number, "
          "and 0 or more",
          static_cast<double>(threshold), max_experts);
    }
  }
};
static_assert(Select<Threshold>);

}  // namespace xmoe::inline XMOE_ABI::select
