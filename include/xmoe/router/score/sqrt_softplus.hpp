// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Every expert on its own: s_e = sqrt(ln(1 + exp(z_e))). Close to exp(z/2) far below 0, to sqrt(z)
/// far above. DeepSeek-V4 (there called sqrtsoftplus).
///
///   in      logits [E]
///   out     scores [E], not below 0; rows have no fixed sum. -Inf gives 0, +Inf +Inf, NaN NaN
///   grad    dz = g sigmoid(z) / (2 s); 0 where s is 0
///   cost    about 2 times Softmax at E = 64: the square roots do not vectorise
struct SqrtSoftplus {
  static constexpr bool probabilities = false;

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    for (index e = 0; e < logits.size(); ++e) {
      const R z = logits[e];
      const R root = math::exp(R(-0.5) * (z > R(0) ? z : -z));  // of exp(-|z|)
      scores[e] = (z > R(0) ? z : R(0)) + log_of_one_plus(root * root);
    }
    for (index e = 0; e < logits.size(); ++e) {
      scores[e] = std::sqrt(scores[e]);
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    for (index e = 0; e < logits.size(); ++e) {
      const R s = scores[e];
      const R slope = math::sigmoid(logits[e]) / (R(2) * s);
      dlogits[e] += s == R(0) ? R(0) : dscores[e] * slope;
    }
  }

 private:
  /// ln(1 + q), q in [0, 1]: 2 artanh(u), u = q / (2 + q) <= 1/3, as its series.
  template <class R>
  XMOE_HD static R log_of_one_plus(R q) {
    constexpr int terms = sizeof(R) == 4 ? 8 : 16;
    const R u = q / (R(2) + q);
    const R square = u * u;
    R sum = R(0);
    for (int i = terms - 1; i >= 0; --i) {
      sum = sum * square + R(1) / R(2 * i + 1);
    }
    return R(2) * u * sum;
  }
};
static_assert(Score<SqrtSoftplus> && DifferentiableScore<SqrtSoftplus>);

}  // namespace xmoe::inline XMOE_ABI::score
