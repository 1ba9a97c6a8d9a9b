// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/math.hpp>
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI {

/// The experts of a row whose logits lie close to the largest one, leaving out those already taken:
///
///   (m - z_e) / max(|z_e|, m) <= 2 margin,  m = the largest logit that is not taken; 0/0 is inside
///
/// Experts with a logit of -Inf or NaN are never inside.
///
///   cost    O(E) to find m, O(taken) a question
///   source  microsoft/SparseMixer, sparsemixer_v2.py
template <class R>
struct NearBest {
  VectorView<const R> logits;  ///< [E]
  VectorView<const std::int32_t> taken;
  R margin;
  R top = -math::infinity<R>;  ///< m; -Inf if nothing is left

  XMOE_HD NearBest(VectorView<const R> z, VectorView<const std::int32_t> gone, R distance)
      : logits(z), taken(gone), margin(distance) {
    for (index e = 0; e < z.size(); ++e) {
      top = z[e] > top && !is_taken(e) ? z[e] : top;
    }
  }
  XMOE_HD bool contains(index e) const {
    const R z = logits[e];
    if (is_taken(e) || !(z > -math::infinity<R>)) {
      return false;
    }
    const R distance = top - z;
    const R size = z < R(0) ? -z : z;
    const R scale = size > top ? size : top;
    return !(distance > R(0)) || distance / scale <= R(2) * margin;
  }
  /// The probability of e among the near ones: softmax over them.
  XMOE_HD R probability(index e) const {
    R sum = R(0);
    for (index j = 0; j < logits.size(); ++j) {
      sum += contains(j) ? math::exp(logits[j] - top) : R(0);
    }
    return math::exp(logits[e] - top) / sum;
  }

 private:
  XMOE_HD bool is_taken(index e) const {
    for (index r = 0; r < taken.size(); ++r) {
      if (taken[r] == e) {
        return true;
      }
    }
    return false;
  }
};

}  // namespace xmoe::inline XMOE_ABI
