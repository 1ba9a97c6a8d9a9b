// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/core/draws.hpp>

namespace xmoe::inline XMOE_ABI::adjust {

/// z' = z - ln(-ln u), u uniform for every token and expert: the largest z' is a draw from
/// softmax(z). While training only, unless asked.
///
///   grad    the identity
///   cost    one block of random numbers and two logarithms an entry
///   source  arXiv 1611.01144
struct GumbelNoise {
  bool in_inference = false;

  template <class R>
  XMOE_HD void row(RowSite site, VectorView<R> logits) const {
    if (!site.training() && !in_inference) {
      return;
    }
    const Random random = site.random.fork(0x67756d62656c0000u);
    for (index e = 0; e < logits.size(); ++e) {
      logits[e] += draws::gumbel<R>(random, site.position(e, logits.size()));
    }
  }
};
static_assert(Adjust<GumbelNoise> && !AdjustsGradient<GumbelNoise>);

}  // namespace xmoe::inline XMOE_ABI::adjust
