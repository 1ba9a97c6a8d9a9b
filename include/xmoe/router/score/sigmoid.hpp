// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Every expert on its own: s_e = 1 / (1 + exp(-z_e)).
///
///   in    logits [E]
///   out   scores [E] in [0, 1]; rows have no fixed sum
///   grad  dz = g s (1 - s)
struct Sigmoid {
  static constexpr bool probabilities = false;

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    for (index e = 0; e < logits.size(); ++e) {
      scores[e] = math::sigmoid(logits[e]);
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R>, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    for (index e = 0; e < scores.size(); ++e) {
      dlogits[e] += dscores[e] * scores[e] * (R(1) - scores[e]);
    }
  }
};
static_assert(Score<Sigmoid> && DifferentiableScore<Sigmoid>);

}  // namespace xmoe::inline XMOE_ABI::score
