// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/router.hpp>

namespace xmoe_bench {

/// A router that decided beforehand. Learns nothing; hands on the gradient of its weights.
///
///   out   the routing as it is; no logits, no scores
///   grad  copied to `dweight` [N] if there is such a place; nothing to dx
struct Replay {
  const xmoe::Routing<float>* routing = nullptr;
  float* dweight = nullptr;

  xmoe::index max_assignments(xmoe::index, xmoe::index) const { return routing->assignments(); }

  template <class Traits, class Own>
  xmoe::Decision<typename Traits::routing> forward(xmoe::Context<Traits>& ctx, const Own&,
                                                   const xmoe::Batch<typename Traits::scalar>&,
                                                   xmoe::index) const {
    xmoe::Decision<typename Traits::routing> decision;
    decision.routing = routing->view();
    if (ctx.measuring()) {
      decision.routing.offsets = nullptr;
    }
    return decision;
  }

  template <class Traits, class Own>
  void backward(xmoe::Context<Traits>& ctx, const Own&, const xmoe::Batch<typename Traits::scalar>&,
                const xmoe::Decision<typename Traits::routing>&,
                const xmoe::DecisionGradient<typename Traits::routing>& upstream, Own&,
                xmoe::MatrixView<typename Traits::scalar>) const {
    if (!ctx.measuring() && dweight != nullptr) {
      for (xmoe::index a = 0; a < upstream.dweight.size(); ++a) {
        dweight[a] = upstream.dweight[a];
      }
    }
  }
};
static_assert(xmoe::RouterPolicy<Replay> && xmoe::DifferentiableRouter<Replay>);

}  // namespace xmoe_bench
