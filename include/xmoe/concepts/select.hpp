// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>
#include <xmoe/core/order.hpp>

namespace xmoe::inline XMOE_ABI {

/// What a selector sees of one token, and where it puts its choice.
template <class R>
struct SelectRow {
  VectorView<const R> scores;           ///< [E]
  VectorView<const R> bias;             ///< [E] added to the scores for ordering only; may be empty
  VectorView<std::int32_t> chosen;      ///< room for max_assignments(1, E) ids, best first
  VectorView<Candidate<R>> candidates;  ///< [E] scratch

  XMOE_HD index experts() const { return scores.size(); }
  XMOE_HD SelectionKey<R> key(index expert) const {
    return {bias.size() == 0 ? scores[expert] : scores[expert] + bias[expert]};
  }
  /// The experts from the best key down. Total order: finite > -Inf > NaN, then the lower index.
  XMOE_HD Descending<R> descending() const {
    if (bias.size() == 0) {
      for (index e = 0; e < scores.size(); ++e) {
        candidates[e] = Candidate<R>::make({scores[e]}, e);
      }
    } else {
      for (index e = 0; e < scores.size(); ++e) {
        candidates[e] = Candidate<R>::make(key(e), e);
      }
    }
    return Descending<R>(candidates);
  }
};

/// Scores to a choice, one token at a time: writes the chosen experts into row.chosen, best first,
/// distinct, and returns how many. At most max_assignments(1, E) of them.
///
/// The choice is a set of ids; a selector never makes weights. A column-wise or global selector
/// needs the whole batch and is a router of its own.
template <class P, class R = float>
concept Select = Policy<P> && requires(const P& select, index experts) {
  { select.max_assignments(experts, experts) } -> std::same_as<index>;
} &&(
    requires(const P& select, SelectRow<R> row) {
      { select.row(row) } -> std::same_as<index>;
    } ||
    requires(const P& select, SelectRow<R> row, const weights_of<P, archetype::Traits>& own) {
      { select.row(row, own) } -> std::same_as<index>;
    });

}  // namespace xmoe::inline XMOE_ABI
