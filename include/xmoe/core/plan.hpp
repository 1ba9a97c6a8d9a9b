// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/routing.hpp>

namespace xmoe::inline XMOE_ABI {

/// The transport: the kept assignments, grouped by expert; inside an expert by token.
///
///   expert_offsets [E+1]   the rows of expert e are expert_offsets[e] .. expert_offsets[e+1]-1
///   token          [M]     token of a row
///   assignment     [M]     index of the row's assignment in the routing
///   row            [N]     row of an assignment, -1 if it was dropped
///
/// M = kept assignments <= N = wanted ones. A view, like RoutingView.
struct PlanView {
  index tokens = 0;
  index experts = 0;  ///< experts that run (a placeholder is not one of them)
  index wanted = 0;   ///< assignments that the routing asked for, placeholders excluded
  index kept = 0;
  index capacity = 0;  ///< most rows an expert was allowed; T when nothing limits
  index* expert_offsets = nullptr;
  std::int32_t* token = nullptr;
  index* assignment = nullptr;
  index* row = nullptr;

  index dropped() const { return wanted - kept; }
  index load(index expert) const { return expert_offsets[expert + 1] - expert_offsets[expert]; }

  static PlanView take(Workspace& memory, index tokens, index experts, index assignments) {
    PlanView plan;
    plan.tokens = tokens;
    plan.experts = experts;
    plan.expert_offsets = memory.take<index>(experts + 1);
    plan.token = memory.take<std::int32_t>(assignments);
    plan.assignment = memory.take<index>(assignments);
    plan.row = memory.take<index>(assignments);
    return plan;
  }
};

namespace detail {
/// Weight of every row of a plan [M].
template <class R>
VectorView<const R> row_weights(Workspace& workspace, const RoutingView<R>& routing,
                                const PlanView& plan) {
  R* const weight = workspace.take<R>(plan.kept);
  for (index m = 0; m < plan.kept && !workspace.measuring(); ++m) {
    weight[m] = routing.weight[plan.assignment[m]];
  }
  return {weight, plan.kept};
}
}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI
