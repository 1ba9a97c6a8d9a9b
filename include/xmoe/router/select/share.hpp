// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The shortest prefix of the experts, best first, whose share of all scores reaches `share`:
/// Threshold for scores that are no probabilities (predicted norms, sigmoids).
///
/// Rank r is taken if r = 0, or if the ranks before it add up to less than share * sum s (strict).
/// The sum runs over the experts that may be chosen; if it is 0, the best one alone is taken.
/// Scores are meant to be >= 0; a negative one counts as 0.
///
///   in      scores [E], non-negative
///   out     min_experts .. min(E, max_experts) experts
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error if share is NaN, or for impossible limits
///   source  arXiv 2310.04361; bartwojcik/D2DMoE, architectures/moe/moefication.py
struct Share {
  float share = 0.9f;     ///< of the sum of scores
  index max_experts = 0;  ///< upper limit a token; 0 = E
  index min_experts = 1;  ///< lower limit a token

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * detail::room_for_share(share, min_experts, max_experts, experts);
  }
  /// In an order that a bias has changed, a prefix may need every expert.
  XMOE_HD index max_assignments_in_any_order(index tokens, index experts) const {
    return tokens * detail::limited(max_experts, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    R sum = R(0);
    for (index e = 0; e < row.experts(); ++e) {
      sum += is_negative_infinity(row.key(e).value) ? R(0) : mass_of(row.scores[e]);
    }
    const R enough = static_cast<R>(share) * sum;
    Descending<R> order = row.descending();
    R mass = R(0);
    index count = 0;
    while (count < row.chosen.size() && (count < min_experts || mass < enough) &&
           order.next(row.chosen[count])) {
      mass += mass_of(row.scores[row.chosen[count]]);
      ++count;
    }
    return count;
  }

  void check(Sizes) const {
    if (is_nan(share)) {
      detail::fail<value_error>("xmoe::select::Share: share is %g, must be a number",
                                static_cast<double>(share));
    }
    detail::check_limits("Share", min_experts, max_experts, 1);
  }

 private:
  template <class R>
  XMOE_HD static R mass_of(R score) {
    return score < R(0) ? R(0) : score;  // NaN stays
  }
};
static_assert(Select<Share>);

}  // namespace xmoe::inline XMOE_ABI::select
