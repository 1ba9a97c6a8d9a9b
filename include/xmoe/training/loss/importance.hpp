// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// Squared coefficient of variation of the experts' importance: L = coefficient * var(v) /
/// mean(v)^2 with v_e = sum_t p_te.
///
///   over      over::SoftmaxOfPicked sums the weights after selection (Shazeer), over::Scores of
///             score::Softmax the clean probabilities (V-MoE)
///   unbiased  variance over E - 1 instead of E
///   grad      dv_e = coefficient * 2 / (E mean^2) * (v_e - mean - var / mean); unbiased:
///             times E / (E - 1)
///   edges     E = 1 or mean 0: value 0, no gradient
///   cost      O(T E), accumulated in double
///   source    arXiv 1701.06538, eq. 6-7; 2106.05974
template <class Over = over::Scores>
struct Importance {
  float coefficient = 0.01f;
  bool unbiased = false;

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    const index experts = view.experts();
    if (view.tokens() == 0 || experts == 1) {
      return 0.0;
    }
    std::vector<double> importance(static_cast<std::size_t>(experts), 0.0);
    over::each_row<Over>(view, [&](index, VectorView<const R> p) {
      for (index e = 0; e < experts; ++e) {
        importance[static_cast<std::size_t>(e)] += static_cast<double>(p[e]);
      }
    });
    const double count = static_cast<double>(experts);
    double mean = 0.0;
    for (const double v : importance) {
      mean += v / count;
    }
    if (mean == 0.0) {
      return 0.0;
    }
    double variance = 0.0;
    for (const double v : importance) {
      variance += (v - mean) * (v - mean) / count;
    }
    const double unit = static_cast<double>(coefficient) * (unbiased ? count / (count - 1.0) : 1.0);
    std::vector<R> slope;
    for (const double v : importance) {
      slope.push_back(
          static_cast<R>(unit * 2.0 / (count * mean * mean) * (v - mean - variance / mean)));
    }
    over::each_row<Over>(view, [&](index t, VectorView<const R> p) {
      Over::row_backward(view, t, p, VectorView<const R>{slope.data(), experts}, dscores, dlogits);
    });
    return unit * variance / (mean * mean);
  }
};
static_assert(Loss<Importance<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
