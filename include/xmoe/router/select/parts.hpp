// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

#include <limits>

// What selectors share: rooms, limits, and how a selector runs another one.
namespace xmoe::inline XMOE_ABI::select::detail {

using namespace xmoe::detail;  // so that `detail::` means both in this folder

template <class R>
inline constexpr R lowest_number = std::numeric_limits<R>::lowest();

/// Experts a token under a limit where 0 means none.
XMOE_HD inline index limited(index max_experts, index experts) {
  return max_experts > 0 && max_experts < experts ? max_experts : experts;
}

/// Room for the experts, in the order of their scores, whose share of a sum of non-negative scores
/// reaches `share`: the mean of a prefix is at least that of all, so ceil(share E) are enough; one
/// more for a sum that just reaches it, or for rounding.
XMOE_HD inline index room_for_share(float share, index min_experts, index max_experts,
                                    index experts) {
  const index limit = limited(max_experts, experts);
  index bound = limit;
  if (share <= 0.f) {
    bound = 1;
  } else if (share <= 1.f) {
    bound = static_cast<index>(static_cast<double>(share) * static_cast<double>(experts)) + 2;
  }
  bound = bound < min_experts ? min_experts : bound;
  return bound < limit ? bound : limit;
}

/// Throws value_error unless 0 <= max (0 = no limit), least <= min, and min <= max.
inline void check_limits(const char* selector, index min_experts, index max_experts, index least) {
  if (max_experts < 0 || min_experts < least || (max_experts > 0 && min_experts > max_experts)) {
    detail::fail<value_error>(
        "xmoe::select::%s: min_experts is %td, max_experts is %td; need %td <= min_experts <= "
        "max_experts, or max_experts 0",
        selector, min_experts, max_experts, least);
  }
}

/// The experts that pass, best first, as many as there is room for. If none does: the best one, if
/// `least` is 1. `prefix`: those that pass come before all others in the row's order.
template <class R, class Passes>
XMOE_HD index take_passing(const SelectRow<R>& row, const Passes& passes, bool prefix,
                           index least) {
  index found = 0;
  for (index e = 0; e < row.experts(); ++e) {
    found += passes(e) && !is_negative_infinity(row.key(e).value) ? 1 : 0;
  }
  const bool restricted = found > 0 && !prefix;
  const index wanted = found > 0 ? found : least;
  const index limit = wanted < row.chosen.size() ? wanted : row.chosen.size();
  if (limit == 0) {
    return 0;
  }
  Descending<R> order = (restricted ? row.restrict_to(passes) : row).descending();
  index count = 0;
  while (count < limit && order.next(row.chosen[count])) {
    ++count;
  }
  return count;
}

/// Experts begin .. begin + count - 1 of a row as a row of their own.
template <class R>
XMOE_HD SelectRow<R> part_of(const SelectRow<R>& row, index begin, index count,
                             VectorView<std::int32_t> chosen) {
  const auto part = [&](auto view) {
    return view.size() == 0 ? view : decltype(view){view.data() + begin, count};
  };
  return {part(row.scores), part(row.bias),    chosen,  part(row.candidates),
          part(row.logits), part(row.scratch), row.site};
}

// --- Selectors of selectors.

template <class P>
inline constexpr index always_experts_of = [] {
  if constexpr (requires { P::always_experts; }) {
    return index{P::always_experts};
  } else {
    return index{0};
  }
}();
template <class P>
inline constexpr bool needs_probabilities_of = [] {
  if constexpr (requires { P::needs_probabilities; }) {
    return bool{P::needs_probabilities};
  } else {
    return false;
  }
}();

/// A selector that runs without weights.
template <class P, class R>
concept RowSelectAlone = requires(const P& select, const SelectRow<R>& row) {
  select.row(row);
};

/// Room that holds whatever the order of a row is.
template <class P>
XMOE_HD index room_in_any_order(const P& select, index tokens, index experts) {
  if constexpr (requires { select.max_assignments_in_any_order(tokens, experts); }) {
    return select.max_assignments_in_any_order(tokens, experts);
  } else {
    return select.max_assignments(tokens, experts);
  }
}

/// The choice of a selector; `own` is its weights, or anything if it needs none.
template <class P, class R>
XMOE_HD index choose(const P& select, const SelectRow<R>& row, const auto& own) {
  if constexpr (RowSelectAlone<P, R>) {
    return select.row(row);
  } else {
    return select.row(row, own);
  }
}

}  // namespace xmoe::inline XMOE_ABI::select::detail
