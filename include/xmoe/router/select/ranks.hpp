// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>
#include <xmoe/router/select/top_k.hpp>

#include <cstdint>

namespace xmoe::inline XMOE_ABI::select {

/// Some ranks of another selector's choice, for contrast with experts that are otherwise not used:
/// Ranks<TopK>{{3}, 0b100} is the third best expert alone.
///
///   in      scores [E]
///   out     the experts of the given ranks, best first; none where the choice is shorter
///   ties    the inner selector's
///   grad    none: the choice counts as constant
///   cost    the inner selector's
///   throws  value_error if no rank is given; what the inner selector throws
///   source  arXiv 2405.14507
template <RowSelect Inner = TopK>
struct Ranks {
  Inner inner{};
  std::uint64_t kept = 0b10;  ///< bit r: rank r stays, r = 0 .. 63

  static constexpr bool needs_probabilities = detail::needs_probabilities_of<Inner>;

  template <class Traits>
  using Weights = weights_of<Inner, Traits>;
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return detail::make_weights<Traits>(inner, sizes);
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own, random);
  }

  /// Room for the whole choice, of which some stay.
  XMOE_HD index max_assignments(index tokens, index experts) const {
    return inner.max_assignments(tokens, experts);
  }
  XMOE_HD index max_assignments_in_any_order(index tokens, index experts) const {
    return detail::room_in_any_order(inner, tokens, experts);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const requires(detail::RowSelectAlone<Inner, R>) {
    return this->row(row, NoWeights{});
  }
  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    const index all = detail::choose(inner, row, own);
    index count = 0;
    for (index rank = 0; rank < all && rank < 64; ++rank) {
      if ((kept >> rank & 1) != 0) {
        row.chosen[count++] = row.chosen[rank];
      }
    }
    return count;
  }

  void check(Sizes sizes) const {
    if (kept == 0) {
      detail::fail<value_error>("xmoe::select::Ranks: kept is 0: no expert would ever be chosen");
    }
    detail::check(inner, sizes);
  }
};
static_assert(Select<Ranks<>>);

}  // namespace xmoe::inline XMOE_ABI::select
