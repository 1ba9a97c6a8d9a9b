// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// What weights are made from: one token's row and its choice.
template <class R>
struct WeighRow {
  VectorView<const R> logits;             ///< [E]
  VectorView<const R> scores;             ///< [E]; a selection bias is not in here
  VectorView<const std::int32_t> chosen;  ///< [n] best first
  RowSite site{};
};

/// The weight of every chosen expert: fills weights [n].
template <class P, class R = float>
concept Weigh = Policy<P> && requires(const P& weigh, WeighRow<R> row, VectorView<R> weights) {
  { weigh.row(row, weights) } -> std::same_as<void>;
};

/// With a gradient: dweights [n] -> dscores [E] += and dlogits [E] += . `weights` as forward made.
template <class P, class R = float>
concept DifferentiableWeigh = Weigh<P, R> &&
    requires(const P& weigh, WeighRow<R> row, VectorView<const R> weights,
             VectorView<const R> dweights, VectorView<R> dscores, VectorView<R> dlogits) {
  { weigh.row_backward(row, weights, dweights, dscores, dlogits) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
