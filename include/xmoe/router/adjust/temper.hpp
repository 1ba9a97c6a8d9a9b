// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/core/bits.hpp>

namespace xmoe::inline XMOE_ABI::adjust {

/// z' = z / temperature: above 1 flatter, below 1 sharper. Change it from step to step for a
/// schedule (dense to sparse gating).
///
///   grad    dz = dz' / temperature
///   throws  value_error unless the temperature is positive and finite
///   source  arXiv 2112.14397
struct Temper {
  float temperature = 1.f;

  template <class R>
  XMOE_HD void row(RowSite, VectorView<R> logits) const {
    for (index e = 0; e < logits.size(); ++e) {
      logits[e] /= static_cast<R>(temperature);
    }
  }
  template <class R>
  XMOE_HD void row_backward(RowSite, VectorView<R> dlogits) const {
    for (index e = 0; e < dlogits.size(); ++e) {
      dlogits[e] /= static_cast<R>(temperature);
    }
  }

  void check(Sizes) const {
    if (!is_finite(temperature) || temperature <= 0.f) {
      detail::fail<value_error>("xmoe::adjust::Temper: temperature is %g, must be positive",
                                static_cast<double>(temperature));
    }
  }
};
static_assert(Adjust<Temper> && AdjustsGradient<Temper>);

}  // namespace xmoe::inline XMOE_ABI::adjust
