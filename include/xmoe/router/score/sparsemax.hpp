// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/score/softmax.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Probabilities with exact zeros, the point of the simplex nearest to the logits:
/// s_e = max(z_e - tau, 0) with tau such that the sum is 1.
///
/// tau is (sum of z over the support - 1) / its size. The support starts as what lies less than 1
/// below the largest logit and shrinks to what lies above tau, until tau no longer rises: no sort,
/// no scratch, exact after at most E rounds (random rows of 64: 2 to 6).
///
///   in      logits [E]
///   out     scores [E], sum 1. Equal logits: all 1/E; one larger by 1 or more: it alone. A
///           logit of -Inf gets exactly 0; a row of nothing but -Inf is all 0; NaN or +Inf anywhere
///           makes the row NaN
///   grad    dz = g - mean of g over the support, 0 outside: the task does not bring an expert back
///   cost    about that of Softmax at E = 64 (double: 1.5 times)
///   source  arXiv 1602.02068; rounds: Michelot, J. Optim. Theory Appl. 50 (1986)
struct Sparsemax {
  static constexpr bool probabilities = true;  ///< rows sum to 1

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    const index n = logits.size();
    const R top = detail::largest(logits);
    if (detail::all_masked(logits, top, scores)) {
      return;
    }
    R tau = R(-1);  // below the largest logit, as all that follows
    for (;;) {
      const detail::Pair<R> inside = detail::sums<R>(n, [&](index e) {
        const R x = logits[e] - top;
        const bool out = x <= tau;  // a NaN is in
        return detail::Pair<R>{out ? R(0) : x, out ? R(0) : R(1)};
      });
      const R next = (inside.first - R(1)) / inside.second;
      const bool rises = next > tau;
      tau = next;
      if (!rises) {
        break;
      }
    }
    for (index e = 0; e < n; ++e) {
      const R x = (logits[e] - top) - tau;
      scores[e] = x <= R(0) ? R(0) : x;
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R>, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const index n = scores.size();
    const detail::Pair<R> inside = detail::sums<R>(n, [&](index e) {
      const bool in = scores[e] > R(0);
      return detail::Pair<R>{in ? dscores[e] : R(0), in ? R(1) : R(0)};
    });
    const R mean = inside.first / inside.second;  // NaN for a row of NaN
    for (index e = 0; e < n; ++e) {
      dlogits[e] += scores[e] <= R(0) ? R(0) : dscores[e] - mean;
    }
  }
};
static_assert(Score<Sparsemax> && DifferentiableScore<Sparsemax>);

}  // namespace xmoe::inline XMOE_ABI::score
