// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/loss.hpp>
#include <xmoe/core/math.hpp>

#include <cmath>
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
}  // namespace counting

/// Which rows P_e averages.
namespace over {
/// The scores as they are; for score::Softmax, whose rows sum to 1.
struct Scores {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    for (index e = 0; e < p.size(); ++e) {
      p[e] = view.scores(t, e);
    }
  }
  template <class R>
  static void row_backward(const LossView<R>&, index t, VectorView<const R>, VectorView<const R> dp,
                           MatrixView<R> dscores, MatrixView<R>) {
    for (index e = 0; e < dp.size(); ++e) {
      dscores(t, e) += dp[e];
    }
  }
};
/// Scores divided by their row's sum; for score::Sigmoid. A row of zeros counts as zeros.
struct NormalizedScores {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    const R sum = math::sum(view.scores.row_data(t), p.size());
    for (index e = 0; e < p.size(); ++e) {
      p[e] = sum > R(0) ? view.scores(t, e) / sum : R(0);
    }
  }
  template <class R>
  static void row_backward(const LossView<R>& view, index t, VectorView<const R> p,
                           VectorView<const R> dp, MatrixView<R> dscores, MatrixView<R>) {
    const R sum = math::sum(view.scores.row_data(t), p.size());
    const R mean = math::dot(p.data(), dp.data(), p.size());
    for (index e = 0; e < p.size() && sum > R(0); ++e) {
      dscores(t, e) += (dp[e] - mean) / sum;
    }
  }
};
/// Softmax over all logits, whatever the score is; for score::Identity (Mixtral).
struct SoftmaxOfLogits {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    R top = view.logits(t, 0);
    for (index e = 1; e < p.size(); ++e) {
      top = view.logits(t, e) > top ? view.logits(t, e) : top;
    }
    for (index e = 0; e < p.size(); ++e) {
      p[e] = math::exp(view.logits(t, e) - top);
    }
    const R sum = math::sum(p.data(), p.size());
    for (index e = 0; e < p.size(); ++e) {
      p[e] /= sum;
    }
  }
  template <class R>
  static void row_backward(const LossView<R>&, index t, VectorView<const R> p,
                           VectorView<const R> dp, MatrixView<R>, MatrixView<R> dlogits) {
    const R mean = math::dot(p.data(), dp.data(), p.size());
    for (index e = 0; e < p.size(); ++e) {
      dlogits(t, e) += p[e] * (dp[e] - mean);
    }
  }
};
}  // namespace over

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
    const index experts = view.experts();
    const index tokens = view.tokens();
    if (tokens == 0) {
      return 0.0;
    }
    const std::vector<double> share = shares(view);
    const double unit = static_cast<double>(coefficient) * static_cast<double>(experts) /
                        static_cast<double>(tokens);
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
      index end = view.routing.end(t);
      if (!Counting::all_ranks && end > view.routing.begin(t) + 1) {
        end = view.routing.begin(t) + 1;
      }
      for (index a = view.routing.begin(t); a < end; ++a) {
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
