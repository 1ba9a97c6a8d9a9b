// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The one expert with the largest score. TopK with k = 1 known at compile time, so that a layer
/// whose router could never learn from it (weights renormalised over one choice) does not compile.
///
///   ties  the lower index first
///   grad  none: the choice counts as constant
///   cost  O(E)
struct TopOne {
  static constexpr index always_experts = 1;  ///< every token gets exactly this many

  XMOE_HD index max_assignments(index tokens, index) const { return tokens; }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    return row.descending().next(row.chosen[0]) ? 1 : 0;
  }
};
static_assert(Select<TopOne>);

}  // namespace xmoe::inline XMOE_ABI::select
