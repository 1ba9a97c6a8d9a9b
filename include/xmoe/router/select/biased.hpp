// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector on keys s_e + b_e. The bias orders, and does nothing else: weights and the
/// mass of a threshold are made from the scores alone.
///
/// The bias [E] is remembered, not learnt: no gradient leads to it; whoever balances the load
/// changes it between steps (`layer.parameters()`, "router.select.bias").
///
///   source  arXiv 2408.15664; arXiv 2412.19437, section 2.1.2
template <Select Inner>
struct Biased {
  Inner inner{};

  template <class Traits>
  struct Weights {
    Panels<typename Traits::routing> bias;  ///< [1,E,1]

    static void tensors(auto& own, auto&& visit) { visit("bias", own.bias, Role::remembered); }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {Panels<typename Traits::routing>(1, sizes.experts, 1)};
  }

  index max_assignments(index tokens, index experts) const {
    if constexpr (requires { inner.max_assignments_in_any_order(tokens, experts); }) {
      return inner.max_assignments_in_any_order(tokens, experts);
    } else {
      return inner.max_assignments(tokens, experts);
    }
  }

  template <class R>
  XMOE_HD index row(const SelectRow<R>& row, const auto& own) const {
    return inner.row(row.shifted(VectorView<const R>{own.bias.matrix(0), row.experts()}));
  }

  void check(Sizes sizes) const { detail::check(inner, sizes); }
};

}  // namespace xmoe::inline XMOE_ABI::select
