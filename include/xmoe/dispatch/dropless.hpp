// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/grouping.hpp>

namespace xmoe::inline XMOE_ABI::dispatch {

/// Every assignment runs. A token's output depends on that token alone, bit for bit.
///
///   in    routing
///   out   plan: rows by expert, inside an expert by token
///   grad  combine is linear in rows and weights
///   cost  counting sort, O(N + E)
struct Dropless {
  static constexpr index placeholders = 0;

  template <class Traits>
  index max_rows(const Context<Traits>&, index, index, index assignments) const {
    return assignments;
  }

  template <class Traits, class R>
  PlanView plan(Context<Traits>& ctx, const RoutingView<R>& routing, index experts,
                index first = 0) const {
    PlanView plan = PlanView::take(ctx.keep, routing.tokens, experts, routing.assignments());
    plan.capacity = routing.valid_tokens;
    plan.wanted = plan.kept = routing.assignments();
    if (!ctx.measuring()) {
      detail::group_by_expert(routing, first, plan);
      detail::index_rows(routing, plan);
    }
    return plan;
  }

  template <class Traits, class R>
  void combine(Context<Traits>& ctx, const PlanView& plan, const RoutingView<R>& routing,
               MatrixView<const typename Traits::scalar> rows,
               MatrixView<typename Traits::scalar> y) const {
    using S = typename Traits::scalar;
    detail::sum_by_token(ctx, plan, routing, rows, y,
                         [&](index a) { return static_cast<S>(routing.weight[a]); });
  }

  template <class Traits, class R>
  void combine_backward(Context<Traits>& ctx, const PlanView& plan, const RoutingView<R>& routing,
                        MatrixView<const typename Traits::scalar> drows,
                        MatrixView<typename Traits::scalar> dx) const {
    using S = typename Traits::scalar;
    detail::sum_by_token(ctx, plan, routing, drows, dx, [](index) { return S(1); });
  }
};
static_assert(Dispatch<Dropless> && DifferentiableDispatch<Dropless>);

}  // namespace xmoe::inline XMOE_ABI::dispatch
