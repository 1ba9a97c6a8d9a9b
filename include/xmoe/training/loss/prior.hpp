// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/order.hpp>
#include <xmoe/training/loss/over.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// The probabilities of an expert over the tokens are spread as those of a Dirichlet distribution:
///
///   L = coefficient * sum_e 1/T sum_r (F_e(p_e(r)) - (r + 1/2) / T)^2
///
///   p_e(r)  the r-th smallest probability of expert e; F_e the distribution function of its
///           marginal, Beta(alpha_e, sum of alpha - alpha_e)
///   alpha   concentration for every expert alike, or `concentrations` [E]: below 1 sharp rows,
///           large numbers even ones; unequal numbers give unequal shares
///   ties    lower token first
///   grad    dp_e(r) += coefficient * 2/T * (F - (r + 1/2) / T) * density, the ranks constant; the
///           density is taken no nearer to 0 and 1 than 1e-6, where it may be infinite
///   edges   E = 1: 0
///   cost    O(T E log T) and T E incomplete beta functions, in double
///   throws  value_error for a concentration that is not positive and finite; shape_error if
///           `concentrations` are neither none nor E
///   source  arXiv 2510.01185 for the idea; the distance (Cramer and von Mises) is a choice
template <class Over = over::Scores>
struct Prior {
  float coefficient = 0.01f;
  double concentration = 1.0;
  VectorView<const double> concentrations = {};

  void check(Sizes sizes) const {
    if (concentrations.size() != 0 && concentrations.size() != sizes.experts) {
      detail::fail<shape_error>("xmoe::loss::Prior: %td concentrations for %td experts",
                                concentrations.size(), sizes.experts);
    }
    for (index e = 0; e < sizes.experts; ++e) {
      if (!(alpha(e) > 0.0) || !is_finite(alpha(e))) {
        detail::fail<value_error>(
            "xmoe::loss::Prior: concentration is %g, must be positive and finite", alpha(e));
      }
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    const index experts = view.experts(), tokens = view.tokens();
    check({.experts = experts});
    if (tokens == 0 || experts == 1) {
      return 0.0;
    }
    std::vector<double> p;  // [T,E] without padding
    over::each_row<Over>(view, [&](index, VectorView<const R> row) {
      for (const R v : row) {
        p.push_back(static_cast<double>(v));
      }
    });
    double total = 0.0;
    for (index e = 0; e < experts; ++e) {
      total += alpha(e);
    }
    const double count = static_cast<double>(tokens);
    const double unit = static_cast<double>(coefficient) / count;
    std::vector<R> slope(p.size());
    std::vector<Candidate<double>> order(static_cast<std::size_t>(tokens));
    double value = 0.0;
    for (index e = 0; e < experts; ++e) {
      for (index t = 0; t < tokens; ++t) {  // best first: the largest -p is the smallest p
        const double v = p[static_cast<std::size_t>(t * experts + e)];
        order[static_cast<std::size_t>(t)] = Candidate<double>::make({-v}, t);
      }
      std::sort(order.begin(), order.end(), [](auto a, auto b) { return b < a; });
      const Beta beta(alpha(e), total - alpha(e));
      for (index r = 0; r < tokens; ++r) {
        const index t = order[static_cast<std::size_t>(r)].expert();
        const auto place = static_cast<std::size_t>(t * experts + e);
        const double error = beta.distribution(p[place]) - (static_cast<double>(r) + 0.5) / count;
        value += error * error;
        slope[place] = static_cast<R>(2.0 * unit * error * beta.density(p[place]));
      }
    }
    const R* next = slope.data();
    over::each_row<Over>(view, [&](index t, VectorView<const R> row) {
      Over::row_backward(view, t, row, VectorView<const R>{next, experts}, dscores, dlogits);
      next += experts;
    });
    return unit * value;
  }

 private:
  double alpha(index e) const {
    return concentrations.size() == 0 ? concentration : concentrations[e];
  }

  /// A beta distribution.
  class Beta {
   public:
    Beta(double a, double b)
        : a_(a), b_(b), log_scale_(log_gamma(a + b) - log_gamma(a) - log_gamma(b)) {}

    double density(double x) const {
      const double inside = x < 1e-6 ? 1e-6 : (x > 1.0 - 1e-6 ? 1.0 - 1e-6 : x);
      return std::exp(log_scale_ + (a_ - 1.0) * std::log(inside) +
                      (b_ - 1.0) * std::log1p(-inside));
    }
    double distribution(double x) const {
      if (!(x > 0.0) || x >= 1.0) {
        return x >= 1.0 ? 1.0 : (x <= 0.0 ? 0.0 : x);  // NaN stays NaN
      }
      const double front = std::exp(log_scale_ + a_ * std::log(x) + b_ * std::log1p(-x));
      return x < (a_ + 1.0) / (a_ + b_ + 2.0) ? front * fraction(a_, b_, x) / a_
                                              : 1.0 - front * fraction(b_, a_, 1.0 - x) / b_;
    }

   private:
    /// ln Gamma(x), x > 0: Stirling's series beyond 10. std::lgamma writes a global variable.
    static double log_gamma(double x) {
      double product = 1.0;
      for (; x < 10.0; x += 1.0) {
        product *= x;
      }
      const double s = 1.0 / (x * x);
      const double series =
          (1.0 / 12 - s * (1.0 / 360 - s * (1.0 / 1260 - s * (1.0 / 1680 - s / 1188)))) / x;
      return (x - 0.5) * std::log(x) - x + 0.91893853320467274178 + series - std::log(product);
    }
    /// The continued fraction of the incomplete beta function, forwards by Lentz's method.
    static double fraction(double a, double b, double x) {
      constexpr double tiny = 1e-300;
      double c = 1.0 / tiny, d = 1.0, value = 1.0;
      for (int i = 1; i < 1000; ++i) {
        const double m = static_cast<double>(i / 2);
        const double term =
            i % 2 == 0 ? m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
                       : -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 + term * d;
        d = 1.0 / (std::abs(d) < tiny ? tiny : d);
        c = 1.0 + term / c;
        c = std::abs(c) < tiny ? tiny : c;
        value *= c * d;
        if (std::abs(c * d - 1.0) < 1e-15) {
          break;
        }
      }
      return value;
    }

    double a_, b_, log_scale_;
  };
};
static_assert(Loss<Prior<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
