// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// Decision to transport and back.
///
///   placeholders                 router outputs that are no expert (0 or 1, in front)
///   max_rows(ctx, T, E, N)       most rows a plan can have
///   plan(ctx, routing, E)        which assignments run, grouped by expert
///   combine(ctx, plan, routing, rows, y)          y [T,D] = sum of weight * row, by rank; writes
///   all combine_backward(ctx, plan, routing, drows, dx)   dx [T,D] = sum of the rows' gradients
template <class P, class Tr = archetype::Traits>
concept Dispatch = Policy<P> &&
    requires(const P& dispatch, Context<Tr>& ctx, const RoutingView<typename Tr::routing>& routing,
             const PlanView& plan, MatrixView<const typename Tr::scalar> rows,
             MatrixView<typename Tr::scalar> y, index n) {
  { P::placeholders } -> std::convertible_to<index>;
  { dispatch.max_rows(ctx, n, n, n) } -> std::same_as<index>;
  { dispatch.plan(ctx, routing, n) } -> std::same_as<PlanView>;
  { dispatch.combine(ctx, plan, routing, rows, y) } -> std::same_as<void>;
};

template <class P, class Tr = archetype::Traits>
concept DifferentiableDispatch = Dispatch<P, Tr> &&
    requires(const P& dispatch, Context<Tr>& ctx, const RoutingView<typename Tr::routing>& routing,
             const PlanView& plan, MatrixView<const typename Tr::scalar> drows,
             MatrixView<typename Tr::scalar> dx) {
  { dispatch.combine_backward(ctx, plan, routing, drows, dx) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
