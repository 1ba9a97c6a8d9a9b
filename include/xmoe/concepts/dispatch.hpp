// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// Decision to transport. The rows meet again by `RowSum`, by expert; gradients of the rows by
/// token.
///
///   placeholders                 router outputs that are no expert (0 or 1, in front)
///   max_rows(ctx, T, E, N)       most rows a plan can have
///   plan(ctx, routing, E)        which assignments run, grouped by expert
template <class P, class Tr = archetype::Traits>
concept Dispatch = Policy<P> &&
    requires(const P& dispatch, Context<Tr>& ctx, const RoutingView<typename Tr::routing>& routing,
             index n) {
  { P::placeholders } -> std::convertible_to<index>;
  { dispatch.max_rows(ctx, n, n, n) } -> std::same_as<index>;
  { dispatch.plan(ctx, routing, n) } -> std::same_as<PlanView>;
};

}  // namespace xmoe::inline XMOE_ABI
