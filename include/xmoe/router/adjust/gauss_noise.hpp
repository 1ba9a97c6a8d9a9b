// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/draws.hpp>

namespace xmoe::inline XMOE_ABI::adjust {

/// z' = z + deviation * n, n standard normal for every token and expert; while training only.
///
///   grad    the identity
///   cost    one block of random numbers, a logarithm and a cosine an entry
///   throws  value_error unless the deviation is finite and not negative
///   source  arXiv 2106.05974 (deviation 1/E)
struct GaussNoise {
  float deviation = 1.f;

  template <class R>
  XMOE_HD void row(RowSite site, VectorView<R> logits) const {
    if (!site.training() || deviation == 0.f) {
      return;
    }
    const Random random = site.random.fork(0x6761757373000000u);
    for (index e = 0; e < logits.size(); ++e) {
      logits[e] +=
          static_cast<R>(deviation) * draws::normal<R>(random, site.position(e, logits.size()));
    }
  }

  void check(Sizes) const {
    if (!is_finite(deviation) || deviation < 0.f) {
      detail::fail<value_error>("xmoe::adjust::GaussNoise: deviation is %g, must be 0 or more",
                                static_cast<double>(deviation));
    }
  }
};
static_assert(Adjust<GaussNoise> && !AdjustsGradient<GaussNoise>);

}  // namespace xmoe::inline XMOE_ABI::adjust
