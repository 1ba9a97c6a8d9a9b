// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// Logits to scores, one token's row [E] at a time. Writes every score.
template <class P, class R = float>
concept Score = Policy<P> &&
    requires(const P& score, VectorView<const R> logits, VectorView<R> scores) {
  { score.row(logits, scores) } -> std::same_as<void>;
};

/// With a gradient: dscores -> dlogits += .
template <class P, class R = float>
concept DifferentiableScore = Score<P, R> &&
    requires(const P& score, VectorView<const R> logits, VectorView<const R> scores,
             VectorView<const R> dscores, VectorView<R> dlogits) {
  { score.row_backward(logits, scores, dscores, dlogits) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
