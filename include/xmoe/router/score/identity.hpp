// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>

namespace xmoe::inline XMOE_ABI::score {

/// The logits themselves. With weigh::SoftmaxPicked the router of Mixtral and its relatives.
///
///   grad  passes through
struct Identity {
  static constexpr bool probabilities = false;

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    for (index e = 0; e < logits.size(); ++e) {
      scores[e] = logits[e];
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R>, VectorView<const R>, VectorView<const R> dscores,
                            VectorView<R> dlogits) const {
    for (index e = 0; e < dscores.size(); ++e) {
      dlogits[e] += dscores[e];
    }
  }
};
static_assert(Score<Identity> && DifferentiableScore<Identity>);

}  // namespace xmoe::inline XMOE_ABI::score
