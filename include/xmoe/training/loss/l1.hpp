// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::loss {

/// Fewer active experts: L = coefficient / T * sum_te f_e |s_te|.
///
///   f_e     1; with experts_per_token k: E / (k T) times the choices that fall on e, constant, so
///           that busy experts shrink first. That is LoadBalance<counting::AllPerToken> at
///           coefficient / k, for scores that are not negative
///   grad    ds_te += coefficient * f_e * sign(s_te) / T, 0 at s = 0
///   cost    O(T E), accumulated in double
///   throws  value_error for experts_per_token < 0
///   source  arXiv 2412.14711 (ReMoE; its coefficient starts at 1e-8 and is controlled)
struct L1 {
  float coefficient = 1e-8f;
  index experts_per_token = 0;  ///< k that the load is measured against; 0: no weights f_e

  void check(Sizes) const {
    if (experts_per_token < 0) {
      detail::fail<value_error>("xmoe::loss::L1: experts_per_token is %td, must not be negative",
                                experts_per_token);
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    check({});
    if (experts_per_token > 0) {
      return LoadBalance<counting::AllPerToken>::add(
          view, static_cast<double>(coefficient) / static_cast<double>(experts_per_token), dscores,
          dlogits);
    }
    if (view.tokens() == 0) {
      return 0.0;
    }
    const double unit = static_cast<double>(coefficient) / static_cast<double>(view.tokens());
    double value = 0.0;
    over::each_row<over::Scores>(view, [&](index t, VectorView<const R> s) {
      for (index e = 0; e < s.size(); ++e) {
        const R sign = s[e] > R(0) ? R(1) : (s[e] < R(0) ? R(-1) : R(0));
        value += static_cast<double>(s[e] < R(0) ? -s[e] : s[e]);
        dscores(t, e) += static_cast<R>(unit) * sign;
      }
    });
    return unit * value;
  }
};
static_assert(Loss<L1>);

}  // namespace xmoe::inline XMOE_ABI::loss
