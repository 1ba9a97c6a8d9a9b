// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/router/score/softmax.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Relu, then divided by the row's root mean square: with r = max(z, 0) and
/// m = sqrt(mean_e r_e^2 + eps), s_e = r_e / m. BlockFFN.
///
/// Not covered: the learned gain [E] of the published router; it is 1 here.
///
///   in      logits [E]
///   out     scores [E] in [0, sqrt(E)]. A row without a positive logit is all 0; NaN or +Inf
///           anywhere makes the row NaN. Nothing overflows: squares are of r / max(1, largest r)
///   grad    dz = (g - s mean(g s)) / m where z > 0, else 0
///   throws  value_error for eps <= 0
///   source  arXiv 2507.08771; github.com/thunlp/BlockFFN
struct ReluNorm {
  static constexpr bool probabilities = false;

  float eps = 1e-6f;

  void check(Sizes) const {
    if (!is_finite(eps) || eps <= 0.f) {
      xmoe::detail::fail<value_error>("xmoe::score::ReluNorm: eps is %g, must be positive",
                                      static_cast<double>(eps));
    }
  }

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    const index n = logits.size();
    const R top = detail::largest(logits);
    const R unit = top > R(1) ? top : R(1);
    for (index e = 0; e < n; ++e) {
      scores[e] = (logits[e] <= R(0) ? R(0) : logits[e]) / unit;
    }
    const R square = math::dot(scores.data(), scores.data(), n) / static_cast<R>(n);
    const R root = std::sqrt(square + static_cast<R>(eps) / unit / unit);
    for (index e = 0; e < n; ++e) {
      scores[e] /= root;
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const index n = logits.size();
    const R inverse = detail::largest(scores) / detail::largest(logits);  // 1 / m, if one is > 0
    const R mean = math::dot(dscores.data(), scores.data(), n) / static_cast<R>(n);
    for (index e = 0; e < n; ++e) {
      dlogits[e] += logits[e] <= R(0) ? R(0) : (dscores[e] - scores[e] * mean) * inverse;
    }
  }
};
static_assert(Score<ReluNorm> && DifferentiableScore<ReluNorm>);

}  // namespace xmoe::inline XMOE_ABI::score
