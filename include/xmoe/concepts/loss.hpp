// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/router.hpp>

namespace xmoe::inline XMOE_ABI {

/// What a loss on a routing may look at.
template <class R>
struct LossView {
  MatrixView<const R> logits;            ///< [T,E]
  MatrixView<const R> scores;            ///< [T,E]
  RoutingView<R> routing;                ///< before capacity
  VectorView<const std::uint8_t> valid;  ///< [T] 0 = padding; empty = all
  VectorView<R> scratch;                 ///< [E]

  index experts() const { return routing.experts; }
  index tokens() const { return routing.valid_tokens; }
  bool is_valid(index token) const { return valid.size() == 0 || valid[token] != 0; }
};

/// A term of the objective that depends on a routing: returns its value, coefficient included, and
/// adds its gradient to dscores and dlogits [T,E]. Padding takes no part; no tokens: value 0.
template <class P, class R = float>
concept Loss = Policy<P> &&
    requires(const P& loss, const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) {
  { loss.evaluate(view, dscores, dlogits) } -> std::same_as<double>;
};

}  // namespace xmoe::inline XMOE_ABI
