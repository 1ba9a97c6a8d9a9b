// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/loss.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/math.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::loss {

/// Keeps logits small: L = coefficient / T * sum_t (ln sum_e exp z_te)^2.
///
///   in      a token whose experts are all masked counts with 0
///   grad    dz_te += coefficient * 2 / T * lse_t * softmax(z_t)_e
///   cost    O(T E), accumulated in double
///   source  arXiv 2202.08906, eq. 5
struct ZLoss {
  float coefficient = 1e-3f;

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R>, MatrixView<R> dlogits) const {
    const index experts = view.experts();
    if (view.tokens() == 0) {
      return 0.0;
    }
    const double unit = static_cast<double>(coefficient) / static_cast<double>(view.tokens());
    double value = 0.0;
    for (index t = 0; t < view.routing.tokens; ++t) {
      if (!view.is_valid(t)) {
        continue;
      }
      const R* z = view.logits.row_data(t);
      R top = z[0];
      for (index e = 1; e < experts; ++e) {
        top = z[e] > top ? z[e] : top;
      }
      if (is_negative_infinity(top)) {
        continue;  // every expert is masked
      }
      for (index e = 0; e < experts; ++e) {
        view.scratch[e] = math::exp(z[e] - top);
      }
      const R sum = math::sum(view.scratch.data(), experts);
      const double lse = static_cast<double>(top) + std::log(static_cast<double>(sum));
      value += lse * lse;
      const R slope = static_cast<R>(2.0 * unit * lse) / sum;
      for (index e = 0; e < experts; ++e) {
        dlogits(t, e) += slope * view.scratch[e];
      }
    }
    return unit * value;
  }
};
static_assert(Loss<ZLoss>);

}  // namespace xmoe::inline XMOE_ABI::loss
