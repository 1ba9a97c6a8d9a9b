// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/draws.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::adjust {

/// Masks every (token, expert) with probability `rate`; while training only. A token may lose all
/// of its experts, and then has none.
///
///   grad    0 for masked experts
///   cost    one block of random numbers an entry
///   throws  value_error unless 0 <= rate < 1
///   source  arXiv 2310.10837
struct ExpertDropout {
  float rate = 0.05f;

  template <class R>
  XMOE_HD void row(RowSite site, VectorView<R> logits) const {
    fill(site, logits, -math::infinity<R>);
  }
  template <class R>
  XMOE_HD void row_backward(RowSite site, VectorView<R> dlogits) const {
    fill(site, dlogits, R(0));
  }

  void check(Sizes) const {
    if (is_nan(rate) || rate < 0.f || rate >= 1.f) {
      detail::fail<value_error>("xmoe::adjust::ExpertDropout: rate is %g, must be in [0, 1)",
                                static_cast<double>(rate));
    }
  }

 private:
  template <class R>
  XMOE_HD void fill(RowSite site, VectorView<R> row, R value) const {
    if (!site.training() || rate == 0.f) {
      return;
    }
    const Random random = site.random.fork(0x64726f706f757400u);
    for (index e = 0; e < row.size(); ++e) {
      if (random.uniform(site.position(e, row.size())) < rate) {
        row[e] = value;
      }
    }
  }
};
static_assert(Adjust<ExpertDropout> && AdjustsGradient<ExpertDropout>);

}  // namespace xmoe::inline XMOE_ABI::adjust
