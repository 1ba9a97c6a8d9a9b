// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// Tokens to logits: x [T,D] -> logits [T,E]. Writes every logit.
template <class G, class Tr = archetype::Traits>
concept Gate = Policy<G> &&
    requires(const G& gate, Context<Tr>& ctx, const weights_of<G, Tr>& own,
             const Batch<typename Tr::scalar>& batch, MatrixView<typename Tr::routing> logits) {
  { gate.forward(ctx, own, batch, logits) } -> std::same_as<void>;
};

/// A gate that gradients pass: dlogits [T,E] -> gradients += , dx [T,D] +=.
///
/// dlogits comes with rows padded by zeros to whole panels (its stride), ready for the kernels.
template <class G, class Tr = archetype::Traits>
concept DifferentiableGate = Gate<G, Tr> &&
    requires(const G& gate, Context<Tr>& ctx, const weights_of<G, Tr>& own,
             const Batch<typename Tr::scalar>& batch,
             MatrixView<const typename Tr::routing> dlogits,
             weights_of<G, typename Tr::gradient>& gradients, MatrixView<typename Tr::scalar> dx) {
  { gate.backward(ctx, own, batch, dlogits, gradients, dx) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
