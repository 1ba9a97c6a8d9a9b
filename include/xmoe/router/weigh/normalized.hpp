// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>

#include <limits>

namespace xmoe::inline XMOE_ABI::weigh {

/// Scores divided by their sum over the choice: w_e = scale * s_e / sum s. GShard, DeepSeek-V3.
///
/// A sum below the smallest normal number gives weights 0 and gradient 0 (no division by 0).
///
///   grad  ds_e += scale * (g_e - sum_j g_j s_j / sum s) / sum s
struct Normalized {
  static constexpr bool constant_for_one = true;  ///< one chosen expert: weight 1, no gradient

  float scale = 1.f;

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    const R sum = total(row);
    for (index r = 0; r < row.chosen.size(); ++r) {
      weights[r] =
          sum < least<R> ? R(0) : static_cast<R>(scale) * (row.scores[row.chosen[r]] / sum);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R> row, VectorView<const R>, VectorView<const R> dweights,
                            VectorView<R> dscores, VectorView<R>) const {
    const R sum = total(row);
    if (sum < least<R>) {
      return;
    }
    R mean = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      mean += dweights[r] * (row.scores[row.chosen[r]] / sum);
    }
    for (index r = 0; r < row.chosen.size(); ++r) {
      dscores[row.chosen[r]] += static_cast<R>(scale) * (dweights[r] - mean) / sum;
    }
  }

 private:
  template <class R>
  static constexpr R least = std::numeric_limits<R>::min();

  template <class R>
  XMOE_HD static R total(WeighRow<R> row) {
    R sum = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      sum += row.scores[row.chosen[r]];
    }
    return sum;
  }
};
static_assert(Weigh<Normalized> && DifferentiableWeigh<Normalized>);

}  // namespace xmoe::inline XMOE_ABI::weigh
