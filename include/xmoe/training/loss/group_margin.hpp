// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// Experts outside of the chosen group stay behind those that were chosen inside it:
///
///   L = coefficient / T * sum_t sum_{e outside} max(0, p_te - p_t,last)
///
///   groups  equal groups of neighbouring experts; the chosen one holds the token's first choice
///   last    the token's last choice; which ones are chosen is constant. No choice: 0
///   grad    dp_te += coefficient / T and dp_t,last -= coefficient / T for each e with a positive
///           margin
///   cost    O(T E), accumulated in double
///   throws  value_error if groups does not divide E
///   source  Hsword/Hetu SAMGate.py, SamMax.cu (SAM)
template <class Over = over::Scores>
struct GroupMargin {
  float coefficient = 0.01f;
  index groups = 1;

  void check(Sizes sizes) const {
    if (groups < 1 || sizes.experts % groups != 0) {
      detail::fail<value_error>(
          "xmoe::loss::GroupMargin: groups is %td, must divide the %td experts", groups,
          sizes.experts);
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    const index experts = view.experts();
    check({.experts = experts});
    if (view.tokens() == 0) {
      return 0.0;
    }
    const index size = experts / groups;
    const double unit = static_cast<double>(coefficient) / static_cast<double>(view.tokens());
    std::vector<R> slope(static_cast<std::size_t>(experts));
    double value = 0.0;
    over::each_row<Over>(view, [&](index t, VectorView<const R> p) {
      const index begin = view.routing.begin(t), end = view.routing.end(t);
      if (begin == end) {
        return;
      }
      const index group = view.routing.expert[begin] / size;
      const index last = view.routing.expert[end - 1];
      slope.assign(slope.size(), R(0));
      index ahead = 0;
      for (index e = 0; e < experts; ++e) {
        if (e / size != group && p[e] > p[last]) {
          value += static_cast<double>(p[e]) - static_cast<double>(p[last]);
          slope[static_cast<std::size_t>(e)] += static_cast<R>(unit);
          ++ahead;
        }
      }
      if (ahead > 0) {
        slope[static_cast<std::size_t>(last)] -= static_cast<R>(unit * static_cast<double>(ahead));
        Over::row_backward(view, t, p, VectorView<const R>{slope.data(), experts}, dscores,
                           dlogits);
      }
    });
    return unit * value;
  }
};
static_assert(Loss<GroupMargin<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
