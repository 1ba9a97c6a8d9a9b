// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>

namespace xmoe::inline XMOE_ABI::weigh {

/// The mean of the chosen experts: w_e = scale / n for n chosen. DynMoE, SkillNet.
///
/// Like Unit, and unlike what is constant for one expert only, it never lets the router learn from
/// the task: the choice has to come from elsewhere, or to learn by a loss.
///
///   grad    none: the task's gradient does not reach the router
///   source  arXiv 2405.14297
struct Equal {
  float scale = 1.f;

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    const index n = row.chosen.size();
    for (index r = 0; r < n; ++r) {
      weights[r] = static_cast<R>(scale) / static_cast<R>(n);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R>, VectorView<const R>, VectorView<const R>, VectorView<R>,
                            VectorView<R>) const {}
};
static_assert(Weigh<Equal> && DifferentiableWeigh<Equal>);

}  // namespace xmoe::inline XMOE_ABI::weigh
