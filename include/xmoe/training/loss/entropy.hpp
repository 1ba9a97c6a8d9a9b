// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <cmath>
#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// What becomes of an entropy H in nats; at_least and at_most are flat once they are met.
enum class Aim {
  minimize,  ///< H
  maximize,  ///< -H
  at_least,  ///< max(0, bound - H): a soft minimum of exp(bound) experts
  at_most,   ///< max(0, H - bound)
};

/// Whose entropy is meant.
namespace scope {
/// Mean over the tokens of H(p_t): low if every token is sure of its experts.
struct Local {
  static constexpr Aim usual = Aim::minimize;
};
/// H of the mean of p_t over the tokens: high if all experts are used.
struct Global {
  static constexpr Aim usual = Aim::maximize;
};
}  // namespace scope

/// Entropy of the router: L = coefficient * aim(H), H(p) = -sum_e p_e ln p_e.
///
///   scope   Local: mean_t H(p_t); Global: H(mean_t p_t)
///   grad    dH/dp_te = -(ln q_e + 1) / T, q = p_t (Local) or the mean (Global); 0 where q_e <= 0,
///           hence exact for the logits of a softmax
///   cost    O(T E) logarithms (Local) or O(T E) (Global), in double
///   source  arXiv 2206.02770 (LIMoE); 2310.10837 (Global, maximize)
template <class Scope = scope::Local, class Over = over::Scores>
struct Entropy {
  float coefficient = 0.01f;
  Aim aim = Scope::usual;
  double bound = 0.0;  ///< of at_least and at_most, in nats

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    const index experts = view.experts();
    const double tokens = static_cast<double>(view.tokens());
    if (view.tokens() == 0) {
      return 0.0;
    }
    constexpr bool local = std::is_same_v<Scope, scope::Local>;
    double entropy = 0.0;
    std::vector<double> mean(static_cast<std::size_t>(experts), 0.0);
    over::each_row<Over>(view, [&](index, VectorView<const R> p) {
      for (index e = 0; e < experts; ++e) {
        const double share = static_cast<double>(p[e]) / tokens;
        if constexpr (local) {
          entropy -= p[e] <= R(0) ? 0.0 : share * std::log(static_cast<double>(p[e]));
        } else {
          mean[static_cast<std::size_t>(e)] += share;
        }
      }
    });
    if constexpr (!local) {
      for (const double m : mean) {
        entropy -= m <= 0.0 ? 0.0 : m * std::log(m);
      }
    }
    const double sign = slope_at(entropy);
    if (sign != 0.0) {
      const double unit = -static_cast<double>(coefficient) * sign / tokens;
      const auto slope_of = [unit](double q) {
        return q <= 0.0 ? 0.0 : unit * (std::log(q) + 1.0);
      };
      std::vector<R> slope(static_cast<std::size_t>(experts));
      for (std::size_t e = 0; e < slope.size(); ++e) {
        slope[e] = static_cast<R>(slope_of(mean[e]));
      }
      over::each_row<Over>(view, [&](index t, VectorView<const R> p) {
        for (index e = 0; local && e < experts; ++e) {
          slope[static_cast<std::size_t>(e)] = static_cast<R>(slope_of(static_cast<double>(p[e])));
        }
        Over::row_backward(view, t, p, VectorView<const R>{slope.data(), experts}, dscores,
                           dlogits);
      });
    }
    return static_cast<double>(coefficient) * sign *
           (aim == Aim::minimize || aim == Aim::maximize ? entropy : entropy - bound);
  }

 private:
  /// d aim(H) / dH.
  double slope_at(double entropy) const {
    switch (aim) {
      case Aim::minimize:
        return 1.0;
      case Aim::maximize:
        return -1.0;
      case Aim::at_least:
        return entropy < bound ? -1.0 : 0.0;
      case Aim::at_most:
        return entropy > bound ? 1.0 : 0.0;
    }
    return 0.0;
  }
};
static_assert(Loss<Entropy<>> && Loss<Entropy<scope::Global>>);

}  // namespace xmoe::inline XMOE_ABI::loss
