// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Every expert, best first: TopK with k = E.
///
///   ties  the lower index first
///   cost  O(E log E)
struct All {
  XMOE_HD index max_assignments(index tokens, index experts) const { return tokens * experts; }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    index count = 0;
    while (count < row.chosen.size() && order.next(row.chosen[count])) {
      ++count;
    }
    return count;
  }
};
static_assert(Select<All>);

}  // namespace xmoe::inline XMOE_ABI::select
