// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// One expert, and the second if it lies close behind: s_0 - s_1 <= gap.
///
///   in      scores [E]
///   out     1 or 2 experts
///   ties    the lower index first; gap = 0 takes two exactly when they are equal
///   grad    none: the choice counts as constant
///   cost    O(E)
///   throws  value_error if gap is NaN
///   source  arXiv 2310.07188
struct Gap {
  float gap = 0.1f;  ///< largest distance of the scores, inclusive

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return experts < 2 ? tokens : 2 * tokens;
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    if (!order.next(row.chosen[0])) {
      return 0;
    }
    if (row.chosen.size() < 2 || !order.next(row.chosen[1])) {
      return 1;
    }
    const R distance = row.scores[row.chosen[0]] - row.scores[row.chosen[1]];
    return distance <= static_cast<R>(gap) ? 2 : 1;
  }

  void check(Sizes) const {
    if (is_nan(gap)) {
      detail::fail<value_error>("xmoe::select::Gap: gap is %g, must be a number",
                                static_cast<double>(gap));
    }
  }
};
static_assert(Select<Gap>);

}  // namespace xmoe::inline XMOE_ABI::select
