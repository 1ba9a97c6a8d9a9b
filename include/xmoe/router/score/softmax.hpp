// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Probabilities over all experts: s_e = exp(z_e - max z) / sum.
///
///   in    logits [E]
///   out   scores [E], sum 1. A logit of -Inf gets exactly 0; a row of nothing but -Inf is all 0;
///         NaN or +Inf anywhere makes the row NaN
///   grad  dz = s (g - <g, s>)
///   cost  E exponentials
struct Softmax {
  static constexpr bool probabilities = true;  ///< rows sum to 1

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    const index n = logits.size();
    R top = logits[0];
    for (index e = 1; e < n; ++e) {
      top = logits[e] > top ? logits[e] : top;
    }
    if (top == -math::infinity<R>) {
      bool empty = true;
      for (index e = 0; e < n; ++e) {
        empty = empty && logits[e] == top;
      }
      if (empty) {
        for (index e = 0; e < n; ++e) {
          scores[e] = R(0);
        }
        return;
      }
    }
    for (index e = 0; e < n; ++e) {
      scores[e] = math::exp(logits[e] - top);
    }
    const R total = R(1) / math::sum(scores.data(), n);
    for (index e = 0; e < n; ++e) {
      scores[e] *= total;
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R>, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const R mean = math::dot(dscores.data(), scores.data(), scores.size());
    for (index e = 0; e < scores.size(); ++e) {
      dlogits[e] += scores[e] * (dscores[e] - mean);
    }
  }
};
static_assert(Score<Softmax> && DifferentiableScore<Softmax>);

}  // namespace xmoe::inline XMOE_ABI::score
