// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/loss.hpp>
#include <xmoe/training/loss/over.hpp>

#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// Which assignments f_e counts, and what their number is divided by.
namespace counting {
/// First choices over tokens: uniform gives L = 1. Switch, GShard, XMoE.
struct FirstChoice {
  static constexpr bool all_ranks = false;
  static constexpr bool per_token = true;
};
/// Every choice over tokens: uniform top-k gives L = k. Mixtral, Qwen and OLMoE as published code.
struct AllPerToken {
  static constexpr bool all_ranks = true;
  static constexpr bool per_token = true;
};
/// Every choice over all choices: uniform gives L = 1. Megatron, DeepSeek-MoE, XMoE's CountAll.
struct AllPerClaim {
  static constexpr bool all_ranks = true;
  static constexpr bool per_token = false;
};
/// Second choices alone over tokens, with over::ScoresWithoutFirst and half the coefficient of the
/// first choices' term, beside which it stands: uniform top-2 gives L = 1. Mesh TensorFlow.
struct SecondChoice {
  static constexpr index rank = 1;
  static constexpr bool per_token = true;
};
}  // namespace counting

/// Balance loss: L = coefficient * E * sum_e f_e P_e.
///
///   f_e     share of the counted choices that fall on e, before capacity; constant
///   P_e     mean over the tokens of the probability of e
///   E       outputs of the router, a placeholder included
///   grad    dP_te += coefficient * E * f_e / T
///   cost    O(T E), accumulated in double
///   source  arXiv 2101.03961, eq. 4; ysngki/XMoE mlp_gating.py (FirstChoice)
template <class Counting = counting::FirstChoice, class Over = over::Scores>
struct LoadBalance {
  float coefficient = 0.01f;

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    return add(view, static_cast<double>(coefficient), dscores, dlogits);
  }

  /// The same with a coefficient in double, for terms that are made of this one.
  template <class R>
  static double add(const LossView<R>& view, double coefficient, MatrixView<R> dscores,
                    MatrixView<R> dlogits) {
    const index experts = view.experts();
    const index tokens = view.tokens();
    if (tokens == 0) {
      return 0.0;
    }
    const std::vector<double> share = shares(view);
    const double unit = coefficient * static_cast<double>(experts) / static_cast<double>(tokens);
    std::vector<R> slope(static_cast<std::size_t>(experts));  // dL/dP of every token alike
    for (std::size_t e = 0; e < slope.size(); ++e) {
      slope[e] = static_cast<R>(unit * share[e]);
    }
    double value = 0.0;
    for (index t = 0; t < view.routing.tokens; ++t) {
      if (!view.is_valid(t)) {
        continue;
      }
      Over::row(view, t, view.scratch);
      for (index e = 0; e < experts; ++e) {
        value += share[static_cast<std::size_t>(e)] * static_cast<double>(view.scratch[e]);
      }
      Over::row_backward(view, t, VectorView<const R>(view.scratch),
                         VectorView<const R>{slope.data(), experts}, dscores, dlogits);
    }
    return unit * value;
  }

 private:
  template <class R>
  static std::vector<double> shares(const LossView<R>& view) {
    std::vector<double> count(static_cast<std::size_t>(view.experts()), 0.0);
    double claims = 0.0;
    for (index t = 0; t < view.routing.tokens; ++t) {
      index begin = view.routing.begin(t);
      index end = view.routing.end(t);
      if constexpr (requires { Counting::rank; }) {
        begin = begin + Counting::rank < end ? begin + Counting::rank : end;
        end = begin < end ? begin + 1 : end;
      } else if (!Counting::all_ranks && end > begin + 1) {
        end = begin + 1;
      }
      for (index a = begin; a < end; ++a) {
        count[static_cast<std::size_t>(view.routing.expert[a])] += 1.0;
        claims += 1.0;
      }
    }
    const double divisor = Counting::per_token ? static_cast<double>(view.tokens()) : claims;
    for (double& c : count) {
      c = divisor > 0.0 ? c / divisor : 0.0;
    }
    return count;
  }
};
static_assert(Loss<LoadBalance<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
