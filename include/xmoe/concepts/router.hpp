// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// What a router decided, and what it looked at.
template <class R>
struct Decision {
  MatrixView<R> logits;  ///< [T,E]; empty for routers that have none
  MatrixView<R> scores;  ///< [T,E]
  RoutingView<R> routing;
};

/// Gradients that losses add to a decision, and that arrive at its weights.
template <class R>
struct DecisionGradient {
  VectorView<const R> dweight;  ///< [N], 0 for dropped assignments
  MatrixView<const R> dscores;  ///< [T,E] from losses; may be empty
  MatrixView<const R> dlogits;  ///< [T,E] from losses; may be empty
};

/// Tokens to a decision: Router<Gate, Score, Select, Weigh>, or a fused type of your own.
/// Sizes here are the router's: `experts` counts its outputs.
template <class P, class Tr = archetype::Traits>
concept RouterPolicy = Policy<P> &&
    requires(const P& router, Context<Tr>& ctx, const weights_of<P, Tr>& own,
             const Batch<typename Tr::scalar>& batch, index experts) {
  { router.max_assignments(experts, experts) } -> std::same_as<index>;
  { router.forward(ctx, own, batch, experts) } -> std::same_as<Decision<typename Tr::routing>>;
};

template <class P, class Tr = archetype::Traits>
concept DifferentiableRouter = RouterPolicy<P, Tr> &&
    requires(const P& router, Context<Tr>& ctx, const weights_of<P, Tr>& own,
             const Batch<typename Tr::scalar>& batch,
             const Decision<typename Tr::routing>& decision,
             const DecisionGradient<typename Tr::routing>& upstream,
             weights_of<P, typename Tr::gradient>& gradients, MatrixView<typename Tr::scalar> dx) {
  { router.backward(ctx, own, batch, decision, upstream, gradients, dx) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
