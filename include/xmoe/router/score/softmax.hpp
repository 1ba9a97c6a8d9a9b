// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/score.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::score {

// What the relatives of Softmax need of a row.
namespace detail {
template <class R>
struct Pair {
  R first, second;
};
/// The sums of both numbers of f(e) over a row, in the order of math::sum. Vectorises if f has
/// no branches.
template <class R, class F>
XMOE_HD inline Pair<R> sums(index n, const F& f) {
  constexpr index lanes = 128 / static_cast<index>(sizeof(R));
  R first[static_cast<std::size_t>(lanes)] = {}, second[static_cast<std::size_t>(lanes)] = {};
  index i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (index j = 0; j < lanes; ++j) {
      const Pair<R> term = f(i + j);
      first[j] += term.first;
      second[j] += term.second;
    }
  }
  for (index j = 0; j < lanes; ++j) {
    if (i + j < n) {
      const Pair<R> term = f(i + j);
      first[j] += term.first;
      second[j] += term.second;
    }
  }
  for (index width = lanes / 2; width > 0; width /= 2) {
    for (index j = 0; j < width; ++j) {
      first[j] += first[j + width];
      second[j] += second[j + width];
    }
  }
  return {first[0], second[0]};
}
/// The largest number of a row that is not NaN; -Inf if there is none. Vectorises.
template <class R>
XMOE_HD inline R largest(VectorView<const R> row) {
  constexpr index lanes = 128 / static_cast<index>(sizeof(R));
  R top[static_cast<std::size_t>(lanes)];
  for (index j = 0; j < lanes; ++j) {
    top[j] = -math::infinity<R>;
  }
  index i = 0;
  for (; i + lanes <= row.size(); i += lanes) {
    for (index j = 0; j < lanes; ++j) {
      top[j] = row[i + j] > top[j] ? row[i + j] : top[j];
    }
  }
  for (index j = 0; j < lanes; ++j) {
    if (i + j < row.size()) {
      top[j] = row[i + j] > top[j] ? row[i + j] : top[j];
    }
  }
  for (index width = lanes / 2; width > 0; width /= 2) {
    for (index j = 0; j < width; ++j) {
      top[j] = top[j + width] > top[j] ? top[j + width] : top[j];
    }
  }
  return top[0];
}
/// Whether a row with this largest number is nothing but -Inf: its scores are then set to 0.
template <class R>
XMOE_HD inline bool all_masked(VectorView<const R> logits, R top, VectorView<R> scores) {
  if (top != -math::infinity<R>) {
    return false;
  }
  for (index e = 0; e < logits.size(); ++e) {
    if (logits[e] != top) {  // a NaN
      return false;
    }
  }
  for (index e = 0; e < logits.size(); ++e) {
    scores[e] = R(0);
  }
  return true;
}
}  // namespace detail

/// Probabilities over all experts: s_e = exp(z_e - max z) / sum.
///
///   in    logits [E]
///   out   scores [E], sum 1. A logit of -Inf gets exactly 0; a row of nothing but -Inf is all 0;
///         NaN or +Inf anywhere makes the row NaN
///   grad  dz = s (g - <g, s>)
///   cost  E exponentials
struct Softmax {
  static constexpr bool probabilities = true;  ///< rows sum to 1

  template <class R>
  XMOE_HD void row(VectorView<const R> logits, VectorView<R> scores) const {
    const index n = logits.size();
    R top = logits[0];
    for (index e = 1; e < n; ++e) {
      top = logits[e] > top ? logits[e] : top;
    }
    if (top == -math::infinity<R>) {
      bool empty = true;
      for (index e = 0; e < n; ++e) {
        empty = empty && logits[e] == top;
      }
      if (empty) {
        for (index e = 0; e < n; ++e) {
          scores[e] = R(0);
        }
        return;
      }
    }
    for (index e = 0; e < n; ++e) {
      scores[e] = math::exp(logits[e] - top);
    }
    const R total = R(1) / math::sum(scores.data(), n);
    for (index e = 0; e < n; ++e) {
      scores[e] *= total;
    }
  }

  template <class R>
  XMOE_HD void row_backward(VectorView<const R>, VectorView<const R> scores,
                            VectorView<const R> dscores, VectorView<R> dlogits) const {
    const R mean = math::dot(dscores.data(), scores.data(), scores.size());
    for (index e = 0; e < scores.size(); ++e) {
      dlogits[e] += scores[e] * (dscores[e] - mean);
    }
  }
};
static_assert(Score<Softmax> && DifferentiableScore<Softmax>);

}  // namespace xmoe::inline XMOE_ABI::score
