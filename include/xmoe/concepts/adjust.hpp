// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

namespace xmoe::inline XMOE_ABI {

/// Changes logits before they are scored, in place, one token's row [E] at a time: noise,
/// temperature, masks. A gate with an adjustment is gate::Adjusted. -Inf masks an expert.
template <class P, class R = float>
concept Adjust = Policy<P> && requires(const P& adjust, RowSite site, VectorView<R> logits) {
  { adjust.row(site, logits) } -> std::same_as<void>;
};

/// An adjustment whose gradient is not the identity: dlogits are changed in place.
template <class P, class R = float>
concept AdjustsGradient = Adjust<P, R> &&
    requires(const P& adjust, RowSite site, VectorView<R> dlogits) {
  { adjust.row_backward(site, dlogits) } -> std::same_as<void>;
};

}  // namespace xmoe::inline XMOE_ABI
