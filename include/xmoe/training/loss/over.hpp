// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/loss.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/math.hpp>

/// Which rows [E] a loss looks at: `row` makes the row p of a token, `row_backward` adds the
/// gradient that dp leaves in scores or in logits.
namespace xmoe::inline XMOE_ABI::loss::over {

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
/// Scores divided by their row's sum + 1e-5; for ReLU scores, whose rows may be 0 (BlockFFN).
struct GuardedScores {
  static constexpr double guard = 1e-5;

  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    const R sum = math::sum(view.scores.row_data(t), p.size()) + static_cast<R>(guard);
    for (index e = 0; e < p.size(); ++e) {
      p[e] = view.scores(t, e) / sum;
    }
  }
  template <class R>
  static void row_backward(const LossView<R>& view, index t, VectorView<const R> p,
                           VectorView<const R> dp, MatrixView<R> dscores, MatrixView<R>) {
    const R sum = math::sum(view.scores.row_data(t), p.size()) + static_cast<R>(guard);
    const R mean = math::dot(p.data(), dp.data(), p.size());
    for (index e = 0; e < p.size(); ++e) {
      dscores(t, e) += (dp[e] - mean) / sum;
    }
  }
};
/// Scores without the first choice's, divided by the sum of the rest, 0 at the first choice; for
/// counting::SecondChoice. Zeros where nothing is left.
struct ScoresWithoutFirst {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    const index first = first_choice(view, t);
    for (index e = 0; e < p.size(); ++e) {
      p[e] = e == first ? R(0) : view.scores(t, e);
    }
    const R sum = math::sum(p.data(), p.size());
    for (index e = 0; e < p.size(); ++e) {
      p[e] = sum > R(0) ? p[e] / sum : R(0);
    }
  }
  template <class R>
  static void row_backward(const LossView<R>& view, index t, VectorView<const R> p,
                           VectorView<const R> dp, MatrixView<R> dscores, MatrixView<R>) {
    const index first = first_choice(view, t);
    R sum = R(0);
    for (index e = 0; e < p.size(); ++e) {
      sum += e == first ? R(0) : view.scores(t, e);
    }
    const R mean = math::dot(p.data(), dp.data(), p.size());
    for (index e = 0; e < p.size() && sum > R(0); ++e) {
      if (e != first) {
        dscores(t, e) += (dp[e] - mean) / sum;
      }
    }
  }

 private:
  template <class R>
  static index first_choice(const LossView<R>& view, index t) {
    const index a = view.routing.begin(t);
    return a < view.routing.end(t) ? view.routing.expert[a] : index(-1);
  }
};
/// Softmax over all logits, whatever the score is; for score::Identity (Mixtral). Zeros where every
/// expert is masked.
struct SoftmaxOfLogits {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    R top = view.logits(t, 0);
    for (index e = 1; e < p.size(); ++e) {
      top = view.logits(t, e) > top ? view.logits(t, e) : top;
    }
    for (index e = 0; e < p.size(); ++e) {
      p[e] = is_negative_infinity(top) ? R(0) : math::exp(view.logits(t, e) - top);
    }
    const R sum = math::sum(p.data(), p.size());
    for (index e = 0; e < p.size() && !is_negative_infinity(top); ++e) {
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
/// Softmax over the logits of the chosen experts, 0 elsewhere: the weights of
/// weigh::SoftmaxPicked. Zeros where nothing is chosen.
struct SoftmaxOfPicked {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    const RoutingView<R>& routing = view.routing;
    for (index e = 0; e < p.size(); ++e) {
      p[e] = R(0);
    }
    if (routing.begin(t) == routing.end(t)) {
      return;
    }
    R top = view.logits(t, routing.expert[routing.begin(t)]);
    for (index a = routing.begin(t); a < routing.end(t); ++a) {
      const R z = view.logits(t, routing.expert[a]);
      top = z > top ? z : top;
    }
    for (index a = routing.begin(t); a < routing.end(t); ++a) {
      p[routing.expert[a]] = math::exp(view.logits(t, routing.expert[a]) - top);
    }
    const R sum = math::sum(p.data(), p.size());
    for (index e = 0; e < p.size(); ++e) {
      p[e] /= sum;
    }
  }
  template <class R>
  static void row_backward(const LossView<R>& view, index t, VectorView<const R> p,
                           VectorView<const R> dp, MatrixView<R> dscores, MatrixView<R> dlogits) {
    SoftmaxOfLogits::row_backward(view, t, p, dp, dscores, dlogits);
  }
};
/// The logits as they are: no probabilities; for losses that compare numbers.
struct Logits {
  template <class R>
  static void row(const LossView<R>& view, index t, VectorView<R> p) {
    for (index e = 0; e < p.size(); ++e) {
      p[e] = view.logits(t, e);
    }
  }
  template <class R>
  static void row_backward(const LossView<R>&, index t, VectorView<const R>, VectorView<const R> dp,
                           MatrixView<R>, MatrixView<R> dlogits) {
    for (index e = 0; e < dp.size(); ++e) {
      dlogits(t, e) += dp[e];
    }
  }
};

/// body(t, p) for every token that is no padding; p lies in the view's scratch.
template <class Over, class R, class F>
void each_row(const LossView<R>& view, F&& body) {
  for (index t = 0; t < view.routing.tokens; ++t) {
    if (view.is_valid(t)) {
      Over::row(view, t, view.scratch);
      body(t, VectorView<const R>(view.scratch));
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::loss::over
