// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

#include <nlohmann/json.hpp>

namespace lm {

/// What MoE layers did, summed over layers and calls. Every figure below is a mean over the layers.
///
///   FLOPs count a multiply-add as two and leave out biases and activations: a row through an
///   expert of width H costs 4*D*H, a token through a router of E experts 2*D*E (forward only).
struct Work {
  double tokens = 0;   // one for each layer that it passed
  double wanted = 0;   // assignments that the routers asked for
  double kept = 0;     // ... that capacity let through: rows that experts computed
  double entropy = 0;  // of the router's probabilities, nats, summed over tokens; not in training
  double flops_routed = 0;
  double flops_padded = 0;  // as if every expert ran all of its capacity
  double flops_router = 0;

  Work() = default;
  /// One call of one layer.
  Work(const xmoe::Summary& call, const xmoe::Sizes& sizes)
      : tokens(static_cast<double>(call.tokens)),
        wanted(static_cast<double>(call.wanted)),
        kept(static_cast<double>(call.kept)) {
    const double row = 4.0 * static_cast<double>(sizes.model_dim * sizes.expert_dim);
    flops_routed = row * kept;
    flops_padded = row * static_cast<double>(call.capacity * sizes.experts);
    flops_router = 2.0 * static_cast<double>(sizes.model_dim * sizes.experts) * tokens;
  }

  Work& operator+=(const Work& other) {
    tokens += other.tokens;
    wanted += other.wanted;
    kept += other.kept;
    entropy += other.entropy;
    flops_routed += other.flops_routed;
    flops_padded += other.flops_padded;
    flops_router += other.flops_router;
    return *this;
  }

  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Work, tokens, wanted, kept, entropy, flops_routed, flops_padded,
                                 flops_router)

  double experts_per_token() const { return kept / tokens; }
  double dropped() const { return wanted > 0 ? (wanted - kept) / wanted : 0; }
  double mean_entropy() const { return entropy / tokens; }
};

}  // namespace lm
