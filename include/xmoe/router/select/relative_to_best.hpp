// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The experts, best first, until one has less than `ratio` times the score of the first.
///
/// The first is always taken; ratio 1 takes its equals as well, ratio 0 everybody with a score of 0
/// or more. Scores are meant to be >= 0: behind a negative first one only larger fractions of it
/// pass, at most its equals if ratio is 1. In an order that a bias has changed, the prefix ends at
/// the first expert that fails, whoever comes after it.
///
///   in      scores [E], non-negative
///   out     min_experts .. min(E, max_experts) experts
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) for each of the first 16 experts looked at, one more than taken; then O(log E)
///   throws  value_error unless 0 <= ratio <= 1, or for impossible limits
///   source  arXiv 2310.04361 (1 - tau); arXiv 2402.14800 (max_experts 2);
///           Lucky-Lance/Expert_Sparsity, model/modeling_mixtral.py
struct RelativeToBest {
  float ratio = 0.5f;     ///< of the first expert's score
  index max_experts = 0;  ///< upper limit a token; 0 = E
  index min_experts = 1;  ///< lower limit a token

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * detail::limited(max_experts, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const {
    Descending<R> order = row.descending();
    R least = R(0);
    index count = 0;
    while (count < row.chosen.size() && order.next(row.chosen[count])) {
      const R score = row.scores[row.chosen[count]];
      if (count == 0) {
        least = static_cast<R>(ratio) * score;
      }
      if (count >= min_experts && !(score >= least)) {
        break;
      }
      ++count;
    }
    return count;
  }

  void check(Sizes) const {
    if (!(ratio >= 0.f && ratio <= 1.f)) {
      detail::fail<value_error>("xmoe::select::RelativeToBest: ratio is %g, must be in 0 .. 1",
                                static_cast<double>(ratio));
    }
    detail::check_limits("RelativeToBest", min_experts, max_experts, 1);
  }
};
static_assert(Select<RelativeToBest>);

}  // namespace xmoe::inline XMOE_ABI::select
