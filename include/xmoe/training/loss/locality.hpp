// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::loss {

/// Neighbouring tokens agree on their experts: cross-entropy of soft activities.
///
///   L = coefficient * mean over pairs and experts of softplus(a) - a sigmoid(b)
///
///   a, b    steepness times the logits of a token and of the next one
///   pairs   neighbouring rows of one sequence, both no padding; logits that are not finite (masked
///           experts) take no part. Without pairs: 0
///   length  rows of a sequence; 0: the call is one sequence
///   grad    da = sigmoid(a) - sigmoid(b), db = -a sigmoid(b) (1 - sigmoid(b)): through both
///   cost    O(T E) exponentials, in double
///   throws  value_error for length < 0 or steepness that is not positive
///   source  arXiv 2507.08771; thunlp/BlockFFN activation_context.py
struct Locality {
  float coefficient = 0.01f;
  float steepness = 100.f;
  index length = 0;

  void check(Sizes) const {
    if (length < 0) {
      detail::fail<value_error>("xmoe::loss::Locality: length is %td, must not be negative",
                                length);
    }
    if (!(steepness > 0.f)) {
      detail::fail<value_error>("xmoe::loss::Locality: steepness is %g, must be positive",
                                static_cast<double>(steepness));
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R>, MatrixView<R> dlogits) const {
    check({});
    const index experts = view.experts();
    index pairs = 0;
    for (index t = 1; t < view.routing.tokens; ++t) {
      pairs += is_pair(view, t) ? 1 : 0;
    }
    if (pairs == 0) {
      return 0.0;
    }
    const double unit = static_cast<double>(coefficient) /
                        (static_cast<double>(pairs) * static_cast<double>(experts));
    const double steep = static_cast<double>(steepness);
    double value = 0.0;
    for (index t = 1; t < view.routing.tokens; ++t) {
      for (index e = 0; is_pair(view, t) && e < experts; ++e) {
        const R before = view.logits(t - 1, e), after = view.logits(t, e);
        if (!is_finite(before) || !is_finite(after)) {
          continue;
        }
        const double a = steep * static_cast<double>(before);
        const double b = steep * static_cast<double>(after);
        const double active = math::sigmoid(b), idle = math::sigmoid(-b);
        // softplus(a) - a active, without cancellation for a > 0
        value += unit * (std::log1p(std::exp(-std::abs(a))) + (a > 0.0 ? a * idle : -a * active));
        dlogits(t - 1, e) += static_cast<R>(unit * steep * (math::sigmoid(a) - active));
        dlogits(t, e) -= static_cast<R>(unit * steep * a * active * idle);
      }
    }
    return value;
  }

 private:
  template <class R>
  bool is_pair(const LossView<R>& view, index t) const {
    return view.is_valid(t - 1) && view.is_valid(t) && (length == 0 || t % length != 0);
  }
};
static_assert(Loss<Locality>);

}  // namespace xmoe::inline XMOE_ABI::loss
