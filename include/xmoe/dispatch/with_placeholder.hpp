// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>

namespace xmoe::inline XMOE_ABI::dispatch {

/// Another dispatch behind a router with one more output: output 0 stands for "no expert".
///
/// A token that chooses the placeholder spends probability mass and a rank on it, but no work, no
/// weight and no capacity. Expert e of the layer is output e + 1 of the router.
///
///   source  ysngki/XMoE, examples_deepspeed/MoE/deepspeed_moe/sharded_moe.py (an earlier variant)
template <Dispatch Inner>
struct WithPlaceholder {
  static constexpr index placeholders = 1;

  Inner inner{};

  void check(Sizes sizes) const { xmoe::detail::check(inner, sizes); }

  template <class Traits>
  index max_rows(const Context<Traits>& ctx, index tokens, index experts, index assignments) const {
    return inner.max_rows(ctx, tokens, experts, assignments);
  }

  template <class Traits, class R>
  PlanView plan(Context<Traits>& ctx, const RoutingView<R>& routing, index experts) const {
    return inner.plan(ctx, routing, experts, placeholders);
  }
};
static_assert(Dispatch<WithPlaceholder<Capacity>> && Dispatch<WithPlaceholder<Dropless>>);

}  // namespace xmoe::inline XMOE_ABI::dispatch
