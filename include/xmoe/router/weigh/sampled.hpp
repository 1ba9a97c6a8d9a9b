// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/weigh.hpp>
#include <xmoe/core/draws.hpp>
#include <xmoe/router/near_best.hpp>

namespace xmoe::inline XMOE_ABI::weigh {

/// How an estimator steps from "expert off" to "expert on".
namespace step {
/// Half of the time the whole step, else half of it. Midpoint rule, order 2.
struct Midpoint {
  static constexpr double full_above = 0.5, part = 0.5, slope = 2.0;
};
/// A quarter of the time the whole step, else a third of it. Heun's third-order rule.
struct Heun {
  static constexpr double full_above = 0.75, part = 0.3333, slope = 1.0;
};
}  // namespace step

/// Weights for select::Draw whose gradient estimates the gradient of the discrete choice.
///
/// With p = softmax over the experts near the best (those of earlier ranks left out), D the drawn
/// one and a the largest: w = p_D for a whole step, p_D * part for another. The step is whole if
/// D = a, or by a second random number; in inference always.
///
///   in      logits [E], the choice in the order of its draws
///   grad    dz_e += slope * g * p_D (1[e = D] - p_e), e near, whatever the step was
///   cost    O(E) a chosen expert and near expert
///   throws  (Router) value_error if the selector has another margin
///   source  arXiv 2310.00811, arXiv 2409.12136; microsoft/SparseMixer sparsemixer{,_v2}.py
template <class Step>
struct Sampled {
  static constexpr bool constant_for_one = false;
  static constexpr bool needs_draw = true;

  float margin = 0.1f;  ///< that of select::Draw

  template <class R>
  XMOE_HD void row(WeighRow<R> row, VectorView<R> weights) const {
    fill(row, weights, Uniform<R>{row.site});
  }
  /// The same with a draw of your own: uniform(rank).
  template <class R, class Draws>
  XMOE_HD void fill(WeighRow<R> row, VectorView<R> weights, const Draws& uniform) const {
    for (index r = 0; r < row.chosen.size(); ++r) {
      const NearBest<R> near = before(row, r);
      const R p = near.probability(row.chosen[r]);
      const bool best = row.logits[row.chosen[r]] == near.top && is_first(near, row.chosen[r]);
      const bool whole =
          !row.site.training() || best || uniform(r) > static_cast<R>(Step::full_above);
      weights[r] = whole ? p : p * static_cast<R>(Step::part);
    }
  }

  template <class R>
  XMOE_HD void row_backward(WeighRow<R> row, VectorView<const R>, VectorView<const R> dweights,
                            VectorView<R>, VectorView<R> dlogits) const {
    for (index r = 0; r < row.chosen.size(); ++r) {
      const NearBest<R> near = before(row, r);
      const index drawn = row.chosen[r];
      const R own = near.probability(drawn);
      const R unit = static_cast<R>(Step::slope) * dweights[r] * own;
      const R per_exp = own / math::exp(row.logits[drawn] - near.top);
      for (index e = 0; e < row.logits.size(); ++e) {
        if (near.contains(e)) {
          const R p = per_exp * math::exp(row.logits[e] - near.top);
          dlogits[e] += unit * ((e == drawn ? R(1) : R(0)) - p);
        }
      }
    }
  }

 private:
  template <class R>
  struct Uniform {
    RowSite site;

    XMOE_HD R operator()(index rank) const {
      return draws::uniform<R>(
          site.random.fork(0x7374657000000000u + static_cast<std::uint64_t>(rank)),
          static_cast<std::uint64_t>(site.token));
    }
  };
  template <class R>
  XMOE_HD NearBest<R> before(WeighRow<R> row, index rank) const {
    return {row.logits, {row.chosen.data(), rank}, static_cast<R>(margin)};
  }
  /// Whether no lower index that is left has the same logit.
  template <class R>
  XMOE_HD static bool is_first(const NearBest<R>& near, index expert) {
    for (index e = 0; e < expert; ++e) {
      if (near.logits[e] == near.top && near.contains(e)) {
        return false;
      }
    }
    return true;
  }
};
using Midpoint = Sampled<step::Midpoint>;
using Heun = Sampled<step::Heun>;
static_assert(Weigh<Midpoint> && DifferentiableWeigh<Heun>);

}  // namespace xmoe::inline XMOE_ABI::weigh
