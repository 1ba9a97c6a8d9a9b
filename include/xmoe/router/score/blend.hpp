// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/router/score/softmax.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Competition within the token and for every expert on its own, mixed:
/// s_e = (1 - share) softmax(z)_e + share (2 / E) sigmoid(z_e). USMoE.
///
///   in      logits [E]
///   out     scores [E], not below 0; rows sum to 1 only where the sigmoids have the mean 1/2.
///           A logit of -Inf gets 0; NaN or +Inf anywhere makes the row NaN
///   grad    with a = 1 - share, b = share 2 / E, p softmax, q sigmoid:
///           dz = a p (g - <g, p>) + b g q (1 - q); a p is taken back from the scores
///   cost    about 1.5 times Softmax at E = 64, backward 4.5 times
///   throws  value_error for a share outside [0, 1]
///   source  github.com/giangdip2410/USMoE
struct Blend {
  static constexpr bool probabilities = false;

  float share = 0.5f;  ///< of the sigmoid

  void check(Sizes) const {
    if (!(share >= 0.f && share <= 1.f)) {
      xmoe::detail::fail<value_error>("xmoe::score::Blend: share is %g, must be in [0, 1]",
                                      static_cast<double>(share));
    }
  }

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    Softmax{}.row(logits, scores);
    const R a = R(1) - static_cast<R>(share);
    const R b = sigmoid_part<R>(logits.size());
    for (index e = 0; e < logits.size(); ++e) {
      scores[e] = a * scores[e] + b * math::sigmoid(logits[e]);
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const index n = logits.size();
    const R a = R(1) - static_cast<R>(share);
    const R b = sigmoid_part<R>(n);
    const R dot = detail::sums<R>(n, [&](index e) {
                    const R softmax = scores[e] - b * math::sigmoid(logits[e]);
                    return detail::Pair<R>{dscores[e] * softmax, R(0)};
                  }).first;
    const R mean = a == R(0) ? R(0) : dot / a;
    for (index e = 0; e < n; ++e) {
      const R q = math::sigmoid(logits[e]);
      const R softmax = (a == R(0) ? R(0) : R(1)) * (scores[e] - b * q);  // NaN stays NaN
      dlogits[e] += softmax * (dscores[e] - mean) + b * dscores[e] * q * (R(1) - q);
    }
  }

 private:
  template <class R>
  XMOE_HD R sigmoid_part(index experts) const {
    return static_cast<R>(share) * (R(2) / static_cast<R>(experts));
  }
};
static_assert(Score<Blend> && DifferentiableScore<Blend>);

}  // namespace xmoe::inline XMOE_ABI::score
