// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/dispatch.hpp>

/// What every local dispatch does: sort assignments by expert.
namespace xmoe::inline XMOE_ABI::dispatch::detail {

/// Stable counting sort: fills expert_offsets, token, assignment (row still empty) with every
/// assignment whose expert is >= `first`; expert indices of the plan start at `first`. O(N + E).
template <class R>
void group_by_expert(const RoutingView<R>& routing, index first, PlanView& plan) {
  const index total = routing.assignments();
  index* offsets = plan.expert_offsets;
  for (index e = 0; e <= plan.experts; ++e) {
    offsets[e] = 0;
  }
  for (index a = 0; a < total; ++a) {
    const index e = routing.expert[a] - first;
    if (e >= 0) {
      ++offsets[e + 1];
    }
  }
  for (index e = 0; e < plan.experts; ++e) {
    offsets[e + 1] += offsets[e];
  }
  plan.wanted = plan.kept = offsets[plan.experts];
  // offsets[e] walks from the start of e to its end, which is the start of e + 1 ...
  for (index t = 0; t < routing.tokens; ++t) {
    for (index a = routing.begin(t); a < routing.end(t); ++a) {
      const index e = routing.expert[a] - first;
      if (e >= 0) {
        const index m = offsets[e]++;
        plan.token[m] = static_cast<std::int32_t>(t);
        plan.assignment[m] = a;
      }
    }
  }
  for (index e = plan.experts; e > 0; --e) {  // ... so shift them back
    offsets[e] = offsets[e - 1];
  }
  offsets[0] = 0;
}

/// The inverse: row of every assignment, -1 where there is none.
template <class R>
void index_rows(const RoutingView<R>& routing, PlanView& plan) {
  for (index a = 0; a < routing.assignments(); ++a) {
    plan.row[a] = -1;
  }
  for (index m = 0; m < plan.kept; ++m) {
    plan.row[plan.assignment[m]] = m;
  }
}

}  // namespace xmoe::inline XMOE_ABI::dispatch::detail
