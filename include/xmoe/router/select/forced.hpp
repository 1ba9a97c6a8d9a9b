// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>
#include <xmoe/router/select/top_k.hpp>

#include <cstdint>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector for which some experts come first whatever their key: their order is +Inf,
/// their score stays. TopK always takes them (of more than k those with the lowest indices); a
/// selector with another rule takes them first, as far as its rule goes.
///
/// To suppress experts instead, mask their logits.
///
///   in      scores [E]; an expert that may not be chosen is not forced either
///   out     what the inner selector takes
///   ties    forced experts by index, then the inner selector's
///   grad    none: the choice counts as constant
///   cost    O(E), then the inner selector's
///   throws  value_error unless there are E flags or none; what the inner selector throws
///   source  arXiv 2502.11096
template <RowSelect Inner = TopK>
struct Forced {
  Inner inner{};
  /// [E] 1: forced; empty: none. Read in every call, where the layer runs; somebody else owns it.
  VectorView<const std::uint8_t> experts{};

  static constexpr index always_experts = detail::always_experts_of<Inner>;
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

  XMOE_HD index max_assignments(index tokens, index n) const {
    return detail::room_in_any_order(inner, tokens, n);
  }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const requires(detail::RowSelectAlone<Inner, R>) {
    return this->row(row, NoWeights{});
  }
  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    if (experts.size() == 0) {
      return detail::choose(inner, row, own);
    }
    for (index e = 0; e < row.experts(); ++e) {  // the bias may be the scratch itself
      const bool first = experts[e] != 0 && !is_negative_infinity(row.key(e).value);
      const R bias = row.bias.size() == 0 ? R(0) : row.bias[e];
      row.scratch[e] = first ? math::infinity<R> : bias;
    }
    row.bias = VectorView<const R>(row.scratch);
    return detail::choose(inner, row, own);
  }

  void check(Sizes sizes) const {
    if (experts.size() != 0 && experts.size() != sizes.experts) {
      detail::fail<value_error>("xmoe::select::Forced: %td flags, must be none or %td (experts)",
                                experts.size(), sizes.experts);
    }
    detail::check(inner, sizes);
  }
};
static_assert(Select<Forced<>>);

}  // namespace xmoe::inline XMOE_ABI::select
