// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>

namespace xmoe::inline XMOE_ABI::weigh {

/// Every chosen expert counts fully: w_e = scale. The router decides who runs, not how much.
///
///   grad  none: the task's gradient does not reach the router
struct Unit {
  float scale = 1.f;

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    for (index r = 0; r < row.chosen.size(); ++r) {
      weights[r] = static_cast<R>(scale);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R>, VectorView<const R>, VectorView<const R>, VectorView<R>,
                            VectorView<R>) const {}
};
static_assert(Weigh<Unit> && DifferentiableWeigh<Unit>);

}  // namespace xmoe::inline XMOE_ABI::weigh
