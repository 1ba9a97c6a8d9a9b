// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The k experts with the largest scores.
///
///   in      scores [E]
///   out     k experts, those with NaN last; fewer only if fewer are allowed (a key of -Inf is not)
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error unless 1 <= k <= E
struct TopK {
  index k = 2;

  XMOE_HD index max_assignments(index tokens, index) const { return tokens * k; }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    index count = 0;
    while (count < row.chosen.size() && order.next(row.chosen[count])) {
      ++count;
    }
    return count;
  }

  void check(Sizes sizes) const {
    if (k < 1 || k > sizes.experts) {
      detail::fail<value_error>("xmoe::select::TopK: k is %td, must be in 1 .. %td (experts)", k,
                                sizes.experts);
    }
  }
};
static_assert(Select<TopK>);

}  // namespace xmoe::inline XMOE_ABI::select
