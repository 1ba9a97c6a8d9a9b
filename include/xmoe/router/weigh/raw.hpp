// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>

namespace xmoe::inline XMOE_ABI::weigh {

/// The score itself, not renormalised: w_e = scale * s_e. XMoE, Switch, DeepSeek-V2.
///
///   grad  ds_e += scale * g_e
struct Raw {
  static constexpr bool constant_for_one = false;

  float scale = 1.f;

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    for (index r = 0; r < row.chosen.size(); ++r) {
      weights[r] = static_cast<R>(scale) * row.scores[row.chosen[r]];
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R> row, VectorView<const R>, VectorView<const R> dweights,
                            VectorView<R> dscores, VectorView<R>) const {
    for (index r = 0; r < row.chosen.size(); ++r) {
      dscores[row.chosen[r]] += static_cast<R>(scale) * dweights[r];
    }
  }
};
static_assert(Weigh<Raw> && DifferentiableWeigh<Raw>);

}  // namespace xmoe::inline XMOE_ABI::weigh
