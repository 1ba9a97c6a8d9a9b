// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>
#include <xmoe/router/select/top_one.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector inside every group of E / groups consecutive experts: k top-1 prototypes,
/// heads, trees.
///
/// The choice is in order of groups, best first within each: rank 0 is the first group's best, not
/// the best of all. Where the inner selector takes one, rank r is group r's. Weights that the inner
/// selector owns are those of E / groups experts and serve every group; for a bias an expert put
/// the bias outside: Biased<GroupedEach<...>>.
///
///   in      scores [E]
///   out     what the inner selector takes, groups times
///   ties    the inner selector's
///   grad    none: the choice counts as constant
///   cost    groups times the inner selector on E / groups experts
///   throws  value_error unless groups divides E; what the inner selector throws for E / groups
///   source  arXiv 2105.15082; Hsword/Hetu, python/hetu/layers/KTop1Gate.py
template <RowSelect Inner = TopOne>
struct GroupedEach {
  Inner inner{};
  index groups = 2;  ///< of consecutive experts

  static constexpr bool needs_probabilities = detail::needs_probabilities_of<Inner>;

  template <class Traits>
  using Weights = weights_of<Inner, Traits>;
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return detail::make_weights<Traits>(inner, one_group(sizes));
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own, random);
  }

  /// A group may hold less mass than the whole row: the inner selector's room in any order.
  XMOE_HD index max_assignments(index tokens, index experts) const {
    return tokens * groups * detail::room_in_any_order(inner, 1, experts / groups);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const requires(detail::RowSelectAlone<Inner, R>) {
    return this->row(row, NoWeights{});
  }
  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    const index size = row.experts() / groups;
    const index room = detail::room_in_any_order(inner, 1, size);
    index count = 0;
    for (index g = 0; g < groups && count < row.chosen.size(); ++g) {
      const index left = row.chosen.size() - count;
      const VectorView<std::int32_t> chosen{row.chosen.data() + count, room < left ? room : left};
      const index more = detail::choose(inner, detail::part_of(row, g * size, size, chosen), own);
      for (index i = 0; i < more; ++i) {
        chosen[i] += static_cast<std::int32_t>(g * size);
      }
      count += more;
    }
    return count;
  }

  void check(Sizes sizes) const {
    if (groups < 1 || sizes.experts % groups != 0) {
      detail::fail<value_error>(
          "xmoe::select::GroupedEach: groups is %td, must divide %td (experts)", groups,
          sizes.experts);
    }
    detail::check(inner, one_group(sizes));
  }

 private:
  Sizes one_group(Sizes sizes) const {
    sizes.experts /= groups;
    return sizes;
  }
};
static_assert(Select<GroupedEach<>>);

}  // namespace xmoe::inline XMOE_ABI::select
