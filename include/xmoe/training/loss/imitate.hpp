// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// How far a number p lies from its target q: value and d/dp. Logarithms see no number below the
/// smallest normal float, so that a p that underflowed has a finite value and gradient.
namespace measure {
inline double floored(double p) {
  constexpr double least = static_cast<double>(std::numeric_limits<float>::min());
  return p < least ? least : p;
}
/// (p - q)^2, mean over the experts.
struct SquaredError {
  static constexpr bool mean_over_experts = true;
  static double value(double p, double q) { return (p - q) * (p - q); }
  static double slope(double p, double q) { return 2.0 * (p - q); }
};
/// Kullback-Leibler KL(q || p): q ln(q / p), sum over the experts; 0 ln 0 = 0.
struct KullbackLeibler {
  static constexpr bool mean_over_experts = false;
  static double value(double p, double q) {
    return q <= 0.0 ? 0.0 : q * (std::log(floored(q)) - std::log(floored(p)));
  }
  static double slope(double p, double q) { return q <= 0.0 ? 0.0 : -q / floored(p); }
};
/// 0.5 (p - q) (ln p - ln q), sum over the experts: half of KL(p || q) + KL(q || p).
struct SymmetricKl {
  static constexpr bool mean_over_experts = false;
  static double value(double p, double q) {
    return 0.5 * (p - q) * (std::log(floored(p)) - std::log(floored(q)));
  }
  static double slope(double p, double q) {
    return 0.5 * (std::log(floored(p)) - std::log(floored(q)) + 1.0 - q / floored(p));
  }
};
}  // namespace measure

/// The router learns numbers that somebody else knows: L = coefficient * mean_t measure(p_t, q_t).
///
///   target  q [T,E], constant, of any scalar type S; rows of padding are not read
///   over    over::SoftmaxOfLogits (competition: q a softmax of what experts answered),
///           over::Scores or over::Logits (regression of the norms of experts' outputs)
///   grad    dp_te += coefficient / T * slope(p_te, q_te); SquaredError: over E too
///   cost    O(T E), in double
///   throws  shape_error if target is not [T,E]
///   source  arXiv 2402.02526 (CompeteSMoE); bartwojcik/D2DMoE moefication.py (norms)
template <class Measure = measure::SquaredError, class Over = over::SoftmaxOfLogits,
          class S = float>
struct Imitate {
  float coefficient = 0.01f;
  MatrixView<const S> target = {};

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    const index experts = view.experts();
    if (view.tokens() == 0) {
      return 0.0;
    }
    if (target.rows() != view.routing.tokens || target.cols() != experts) {
      detail::fail<shape_error>("xmoe::loss::Imitate: target is %td x %td, must be %td x %td",
                                target.rows(), target.cols(), view.routing.tokens, experts);
    }
    const double unit = static_cast<double>(coefficient) /
                        (static_cast<double>(view.tokens()) *
                         (Measure::mean_over_experts ? static_cast<double>(experts) : 1.0));
    std::vector<R> slope(static_cast<std::size_t>(experts));
    double value = 0.0;
    over::each_row<Over>(view, [&](index t, VectorView<const R> p) {
      for (index e = 0; e < experts; ++e) {
        const double got = static_cast<double>(p[e]), want = static_cast<double>(target(t, e));
        value += Measure::value(got, want);
        slope[static_cast<std::size_t>(e)] = static_cast<R>(unit * Measure::slope(got, want));
      }
      Over::row_backward(view, t, p, VectorView<const R>{slope.data(), experts}, dscores, dlogits);
    });
    return unit * value;
  }
};
static_assert(Loss<Imitate<>> && Loss<Imitate<measure::KullbackLeibler>>);

}  // namespace xmoe::inline XMOE_ABI::loss
