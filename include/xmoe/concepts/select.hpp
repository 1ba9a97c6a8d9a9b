// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/math.hpp>
#include <xmoe/core/order.hpp>

namespace xmoe::inline XMOE_ABI {

/// What a selector sees of one token, and where it puts its choice.
template <class R>
struct SelectRow {
  VectorView<const R> scores;           ///< [E]
  VectorView<const R> bias;             ///< [E] added to the scores for ordering only; may be empty
  VectorView<std::int32_t> chosen;      ///< room for max_assignments(1, E) ids, best first
  VectorView<Candidate<R>> candidates;  ///< [E] scratch
  VectorView<const R> logits{};         ///< [E] -Inf: the expert is masked; empty: none is
  VectorView<R> scratch{};              ///< [E] for selectors that change keys, see `restrict_to`
  RowSite site{};

  XMOE_HD index experts() const { return scores.size(); }
  /// -Inf for experts that may not be chosen, because they are masked or their own key is -Inf.
  XMOE_HD SelectionKey<R> key(index expert) const {
    const bool masked = (logits.size() != 0 && is_negative_infinity(logits[expert])) ||
                        (bias.size() != 0 && is_negative_infinity(bias[expert]));
    const R value = bias.size() == 0 ? scores[expert] : scores[expert] + bias[expert];
    return {masked ? -math::infinity<R> : value};
  }
  /// The experts from the best key down. Total order: finite > NaN, then the lower index; experts
  /// with a key of -Inf do not come.
  XMOE_HD Descending<R> descending() const {
    if (bias.size() == 0 && logits.size() != 0) {  // apart, so that it vectorises
      for (index e = 0; e < scores.size(); ++e) {
        const bool masked = is_negative_infinity(logits[e]);
        candidates[e] = Candidate<R>::make({masked ? -math::infinity<R> : scores[e]}, e);
      }
    } else {
      for (index e = 0; e < scores.size(); ++e) {
        candidates[e] = Candidate<R>::make(key(e), e);
      }
    }
    return Descending<R>(candidates);
  }
  /// The same row with more added to its keys.
  XMOE_HD SelectRow shifted(VectorView<const R> more) const {
    SelectRow row = *this;
    row.bias = more;
    if (bias.size() != 0) {
      for (index e = 0; e < scores.size(); ++e) {
        scratch[e] = bias[e] + more[e];  // bias may be scratch itself
      }
      row.bias = VectorView<const R>(scratch);
    }
    return row;
  }
  /// The same row where an expert may be chosen only if allowed(expert); other keys stay.
  template <class Allowed>
  XMOE_HD SelectRow restrict_to(const Allowed& allowed) const {
    for (index e = 0; e < scores.size(); ++e) {
      const R own = bias.size() == 0 ? R(0) : bias[e];
      scratch[e] = allowed(e) ? own : -math::infinity<R>;
    }
    SelectRow row = *this;
    row.bias = VectorView<const R>(scratch);
    return row;
  }
};

/// Scores to a choice, one token at a time: writes the chosen experts into row.chosen, best first,
/// distinct, and returns how many. At most max_assignments(1, E) of them; none whose key is -Inf,
/// so that a token whose experts are all masked gets none.
///
/// The choice is a set of ids; a selector never makes weights.
template <class P, class R = float>
concept RowSelect = Policy<P> && requires(const P& select, index experts) {
  { select.max_assignments(experts, experts) } -> std::same_as<index>;
} &&(
    requires(const P& select, SelectRow<R> row) {
      { select.row(row) } -> std::same_as<index>;
    } ||
    requires(const P& select, SelectRow<R> row, const weights_of<P, archetype::Traits>& own) {
      { select.row(row, own) } -> std::same_as<index>;
    });

/// What a selector that looks at all tokens of a call sees.
template <class R>
struct SelectBatch {
  MatrixView<const R> scores;            ///< [T,E] what is ordered
  MatrixView<const R> logits;            ///< [T,E] -Inf: masked
  VectorView<const std::uint8_t> valid;  ///< [T] 0 = padding, which gets no expert; empty = all
  VectorView<const std::int32_t> ids{};  ///< [T] Batch::ids

  bool is_valid(index token) const { return valid.size() == 0 || valid[token] != 0; }
  SelectionKey<R> key(index token, index expert) const {
    return {is_negative_infinity(logits(token, expert)) ? logits(token, expert)
                                                        : scores(token, expert)};
  }
};

/// A choice that depends on all tokens of the call: expert choice, assignment, transport. Fills
/// offsets and expert of the routing, every token's experts best first.
///
/// Such a token's experts depend on its batch mates, later tokens included: in an autoregressive
/// decoder a route may see the future.
template <class P, class Tr = archetype::Traits>
concept BatchSelect = Policy<P> &&
    requires(const P& select, Context<Tr>& ctx, const SelectBatch<typename Tr::routing>& in,
             RoutingView<typename Tr::routing>& routing, index n) {
  { select.max_assignments(n, n) } -> std::same_as<index>;
  { select.batch(ctx, in, routing) } -> std::same_as<void>;
};

template <class P>
concept Select = RowSelect<P> || BatchSelect<P>;

}  // namespace xmoe::inline XMOE_ABI
