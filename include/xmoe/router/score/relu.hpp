// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// Every expert on its own, off below 0: s_e = max(z_e, 0). ReMoE.
///
///   in      logits [E]
///   out     scores [E], not below 0; rows have no fixed sum, and may be all 0. NaN stays NaN
///   grad    dz = g where z > 0, else 0
///   source  arXiv 2412.14711
struct Relu {
  static constexpr bool probabilities = false;

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    for (index e = 0; e < logits.size(); ++e) {
      scores[e] = logits[e] <= R(0) ? R(0) : logits[e];
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R> logits, VectorView<const R>,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    for (index e = 0; e < logits.size(); ++e) {
      dlogits[e] += logits[e] <= R(0) ? R(0) : dscores[e];
    }
  }
};
static_assert(Score<Relu> && DifferentiableScore<Relu>);

}  // namespace xmoe::inline XMOE_ABI::score
