// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector on keys s_e + b_e. The bias orders, and does nothing else: weights and the
/// mass of a threshold are made from the scores alone.
///
/// The bias [E] is remembered, not learnt: no gradient leads to it; whoever balances the load
/// changes it between steps (`layer.parameters()`, "router.select.bias").
///
///   source  arXiv 2408.15664; arXiv 2412.19437, section 2.1.2
template <RowSelect Inner>
struct Biased {
  Inner inner{};

  static constexpr index always_experts = detail::always_experts_of<Inner>;
  static constexpr bool needs_probabilities = detail::needs_probabilities_of<Inner>;

  template <class Traits>
  struct Weights {
    Panels<typename Traits::routing> bias;  ///< [1,E,1]
    weights_of<Inner, Traits> inner;

    static void tensors(auto& own, auto&& visit) {
      visit("bias", own.bias, Role::remembered);
      weights_of<Inner, Traits>::tensors(
          own.inner, [&](const char* name, auto& tensor, Role role = Role::trained) {
            visit((std::string("inner.") + name).c_str(), tensor, role);
          });
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {Panels<typename Traits::routing>(1, sizes.experts, 1),
            detail::make_weights<Traits>(inner, sizes)};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own.inner, random);
  }

  XMOE_HD index max_assignments(index tokens, index experts) const {
    return detail::room_in_any_order(inner, tokens, experts);
  }

  template <class R>
  XMOE_HD index row(const SelectRow<R>& row, const auto& own) const {
    const SelectRow<R> moved = row.shifted(VectorView<const R>{own.bias.matrix(0), row.experts()});
    if constexpr (detail::RowSelectAlone<Inner, R>) {
      return inner.row(moved);
    } else {
      return inner.row(moved, own.inner);
    }
  }

  void check(Sizes sizes) const { detail::check(inner, sizes); }
};

}  // namespace xmoe::inline XMOE_ABI::select
