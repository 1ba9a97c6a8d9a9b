// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>
#include <xmoe/core/bits.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::weigh {

/// Scores divided by the p-norm of the choice: w_e = scale * s_e / max(|s|_p, eps),
/// |s|_p = (sum over the choice of |s_j|^p)^(1/p). DBRX.
///
/// p = 1 over scores that are not negative are the shares of Normalized, but for what happens to
/// sums near 0. p = 1 and p = 2 take no powers. Powers are of s / max |s|: none leaves the range.
///
///   grad    u = s / |s|_p: ds_e += scale * (g_e - sign(s_e) |u_e|^(p-1) sum_j g_j u_j) / |s|_p,
///           sign(0) = 0; scale * g_e / eps where the norm is below eps
///   throws  value_error for p < 1 or eps <= 0
///   source  github.com/huggingface/transformers models/dbrx; the guard: torch normalize
struct NormalizedBy {
  static constexpr bool constant_for_one = true;  ///< one chosen expert: weight 1, no gradient

  float p = 2.f;
  float eps = 1e-12f;
  float scale = 1.f;

  void check(Sizes) const {
    if (!is_finite(p) || p < 1.f || !is_finite(eps) || eps <= 0.f) {
      xmoe::detail::fail<value_error>(
          "xmoe::weigh::NormalizedBy: p is %g, eps is %g, must be finite, 1 or more and above 0",
          static_cast<double>(p), static_cast<double>(eps));
    }
  }

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    const R norm = norm_of(row);
    const R bound = norm < static_cast<R>(eps) ? static_cast<R>(eps) : norm;
    for (index r = 0; r < row.chosen.size(); ++r) {
      weights[r] = static_cast<R>(scale) * (row.scores[row.chosen[r]] / bound);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R> row, VectorView<const R>, VectorView<const R> dweights,
                            VectorView<R> dscores, VectorView<R>) const {
    const R norm = norm_of(row);
    const bool small = norm < static_cast<R>(eps);
    const R bound = small ? static_cast<R>(eps) : norm;
    R dot = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      dot += dweights[r] * (row.scores[row.chosen[r]] / bound);
    }
    dot = small ? R(0) : dot;
    for (index r = 0; r < row.chosen.size(); ++r) {
      const R share = row.scores[row.chosen[r]] / bound;
      dscores[row.chosen[r]] += static_cast<R>(scale) * (dweights[r] - slope(share) * dot) / bound;
    }
  }

 private:
  template <class R>
  XMOE_HD static R magnitude(R v) {
    return v < R(0) ? -v : v;
  }
  /// v^p for v in [0, 1].
  template <class R>
  XMOE_HD R power(R v) const {
    return p == 1.f ? v : (p == 2.f ? v * v : std::pow(v, static_cast<R>(p)));
  }
  /// sign(v) |v|^(p-1), what |v|^p / p has for a slope.
  template <class R>
  XMOE_HD R slope(R v) const {
    if (p == 2.f || v == R(0)) {
      return v;
    }
    const R size = p == 1.f ? R(1) : std::pow(magnitude(v), static_cast<R>(p) - R(1));
    return v < R(0) ? -size : size;
  }
  template <class R>
  XMOE_HD R norm_of(WeighRow<R> row) const {
    R top = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      const R v = magnitude(row.scores[row.chosen[r]]);
      top = v > top ? v : top;
    }
    const R unit = top > R(0) ? top : R(1);
    R sum = R(0);
    for (index r = 0; r < row.chosen.size(); ++r) {
      sum += power(magnitude(row.scores[row.chosen[r]]) / unit);
    }
    const R root =
        p == 1.f ? sum : (p == 2.f ? std::sqrt(sum) : std::pow(sum, R(1) / static_cast<R>(p)));
    return unit * root;
  }
};
static_assert(Weigh<NormalizedBy> && DifferentiableWeigh<NormalizedBy>);

}  // namespace xmoe::inline XMOE_ABI::weigh
