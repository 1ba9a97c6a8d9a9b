// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/score/softmax.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Entmax with alpha = 1.5, between Softmax and Sparsemax: s_e = max(z_e / 2 - tau, 0)^2 with tau
/// such that the sum is 1. Exact zeros, but a smooth way there.
///
/// tau is found by Newton's method on the norm of max(z/2 - tau, 0), which is convex and falls:
/// from the left of the solution it rises to it and ends where rounding stops it (random rows of
/// 64: 3 to 8 rounds). No sort, no scratch.
///
///   in      logits [E]
///   out     scores [E], sum 1. Equal logits: all 1/E; one larger by 2 or more: it alone. A
///           logit of -Inf gets exactly 0; a row of nothing but -Inf is all 0; NaN or +Inf anywhere
///           makes the row NaN
///   grad    with q = sqrt(s): dz = q (g - <g, q> / sum q)
///   cost    about 2 times Softmax at E = 64 (double: 3.5 times)
///   source  arXiv 1905.05702 (definition, gradient, an exact algorithm by sorting)
struct Entmax15 {
  static constexpr bool probabilities = true;  ///< rows sum to 1

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    const index n = logits.size();
    const R top = detail::largest(logits);
    if (detail::all_masked(logits, top, scores)) {
      return;
    }
    R tau = R(-1);  // below half of the largest logit; one expert alone has this one
    bool rises = true;
    for (int round = 0; rises && round < most_rounds; ++round) {
      const detail::Pair<R> inside = detail::sums<R>(n, [&](index e) {
        const R q = root(logits[e] - top, tau);
        return detail::Pair<R>{q, q * q};
      });
      const R norm = std::sqrt(inside.second);
      const R next = tau + (norm - R(1)) * norm / inside.first;
      rises = next > tau;
      tau = next;
    }
    for (index e = 0; e < n; ++e) {
      const R q = root(logits[e] - top, tau);
      scores[e] = q * q;
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const index n = scores.size();
    const R top = detail::largest(logits);
    const R best = detail::largest(scores);
    if (best == R(0)) {
      return;
    }
    // tau by the best expert alone: the roots of the rest without E square roots
    const R tau = -std::sqrt(best < R(0) ? scores[0] : best);  // NaN for a row of NaN
    const detail::Pair<R> sums = detail::sums<R>(n, [&](index e) {
      const R q = root(logits[e] - top, tau);
      return detail::Pair<R>{dscores[e] * q, q};
    });
    const R mean = sums.first / sums.second;
    for (index e = 0; e < n; ++e) {
      dlogits[e] += root(logits[e] - top, tau) * (dscores[e] - mean);
    }
  }

 private:
  static constexpr int most_rounds = 64;

  /// Of a score, by the logit less the largest one; NaN stays NaN.
  template <class R>
  XMOE_HD static R root(R logit, R tau) {
    const R q = R(0.5) * logit - tau;
    return q <= R(0) ? R(0) : q;
  }
};
static_assert(Score<Entmax15> && DifferentiableScore<Entmax15>);

}  // namespace xmoe::inline XMOE_ABI::score
