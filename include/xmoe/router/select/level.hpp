// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Every expert whose score lies above `level`; perhaps none. A bias changes the order, not who
/// passes.
///
///   in      scores [E]; with level 0 those of a ReLU or a sparsemax
///   out     min_experts .. min(E, max_experts) experts; with min_experts 1 the best if none passes
///   ties    the lower index first; a score equal to the level does not pass
///   grad    none: the choice counts as constant
///   cost    O(E), and O(E) a chosen expert for the first 16, then O(log E)
///   throws  value_error if level is NaN, unless min_experts is 0 or 1, if max_experts < 0
///   source  arXiv 2412.14711 (ReLU); arXiv 2507.08771
struct Level {
  float level = 0.f;      ///< what a score must exceed
  index max_experts = 0;  ///< upper limit a token; 0 = E
  index min_experts = 0;  ///< 0 or 1

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * detail::limited(max_experts, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    const R bar = static_cast<R>(level);
    const auto passes = [&](index e) { return row.scores[e] > bar; };
    return detail::take_passing(row, passes, row.bias.size() == 0, min_experts);
  }

  void check(Sizes) const {
    if (is_nan(level) || min_experts > 1) {
      detail::fail<value_error>(
          "xmoe::select::Level: level is %g, min_experts is %td; need a number, and 0 or 1",
          static_cast<double>(level), min_experts);
    }
    detail::check_limits("Level", min_experts, max_experts, 0);
  }
};
static_assert(Select<Level>);

}  // namespace xmoe::inline XMOE_ABI::select
