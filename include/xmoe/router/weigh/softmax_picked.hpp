// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::weigh {

/// Softmax over the chosen logits: w_e = scale * exp(z_e) / sum over the choice. Mixtral, Granite.
/// Equal to Normalized over score::Softmax in exact arithmetic.
///
///   grad  dz_e += w_e (g_e - sum_j g_j w_j / scale)
struct SoftmaxPicked {
  static constexpr bool constant_for_one = true;  ///< one chosen expert: weight 1, no gradient

  float scale = 1.f;

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    const index n = row.chosen.size();
    if (n == 0) {
      return;
    }
    R top = row.logits[row.chosen[0]];
    for (index r = 1; r < n; ++r) {
      const R z = row.logits[row.chosen[r]];
      top = z > top ? z : top;
    }
    if (top == -math::infinity<R>) {
      for (index r = 0; r < n; ++r) {
        weights[r] = R(0);
      }
      return;
    }
    R sum = R(0);
    for (index r = 0; r < n; ++r) {
      weights[r] = math::exp(row.logits[row.chosen[r]] - top);
      sum += weights[r];
    }
    for (index r = 0; r < n; ++r) {
      weights[r] = static_cast<R>(scale) * (weights[r] / sum);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R> row, VectorView<const R> weights,
                            VectorView<const R> dweights, VectorView<R>,
                            VectorView<R> dlogits) const {
    if (scale == 0.f) {
      return;
    }
    R mean = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      mean += dweights[r] * (weights[r] / static_cast<R>(scale));
    }
    for (index r = 0; r < row.chosen.size(); ++r) {
      dlogits[row.chosen[r]] += weights[r] * (dweights[r] - mean);
    }
  }
};
static_assert(Weigh<SoftmaxPicked> && DifferentiableWeigh<SoftmaxPicked>);

}  // namespace xmoe::inline XMOE_ABI::weigh
