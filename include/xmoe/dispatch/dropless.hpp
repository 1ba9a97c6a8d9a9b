// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/grouping.hpp>

namespace xmoe::inline XMOE_ABI::dispatch {

/// Every assignment runs. A token's output depends on that token alone, bit for bit.
///
///   in    routing
///   out   plan: rows by expert, inside an expert by token
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
};
static_assert(Dispatch<Dropless>);

}  // namespace xmoe::inline XMOE_ABI::dispatch
