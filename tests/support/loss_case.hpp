// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "policy_case.hpp"

namespace tests {

/// A decision for a loss to look at, with room for its gradients.
template <class R>
struct LossCase {
  index experts;
  std::vector<R> logits, scores, dscores, dlogits;  ///< [T,E]
  std::vector<std::uint8_t> valid;

  /// Random logits, scores = softmax, and the given choice.
  LossCase(index e, const std::vector<std::vector<index>>& chosen, std::uint64_t seed = 1)
      : experts(e) {
    Generator random(seed);
    for (const auto& row : chosen) {
      for (const index expert : row) {
        ids_.push_back(static_cast<std::int32_t>(expert));
      }
      offsets_.push_back(static_cast<index>(ids_.size()));
    }
    logits = narrow<R>(normals(random, tokens() * experts));
    softmax();
  }
  index tokens() const { return static_cast<index>(offsets_.size()) - 1; }
  R& score(index t, index e) { return scores[static_cast<std::size_t>(t * experts + e)]; }
  R& logit(index t, index e) { return logits[static_cast<std::size_t>(t * experts + e)]; }
  void softmax() {
    scores.clear();
    for (index t = 0; t < tokens(); ++t) {
      const reference::Vector z =
          wide(std::vector<R>(logits.begin() + t * experts, logits.begin() + (t + 1) * experts));
      for (const double p : reference::softmax(z)) {
        scores.push_back(static_cast<R>(p));
      }
    }
  }
  /// The loss; its gradients alone lie in dscores and dlogits afterwards.
  template <class L>
  double value(const L& loss) {
    dscores.assign(scores.size(), R(0));
    dlogits.assign(scores.size(), R(0));
    return add(loss);
  }
  /// The loss; its gradients are added.
  template <class L>
  double add(const L& loss) {
    std::vector<R> scratch(static_cast<std::size_t>(experts));
    xmoe::RoutingView<R> routing;
    routing.tokens = routing.valid_tokens = tokens();
    routing.experts = experts;
    routing.capacity = static_cast<index>(ids_.size());
    routing.offsets = offsets_.data();
    routing.expert = ids_.data();
    if (!valid.empty()) {
      routing.valid_tokens = std::count(valid.begin(), valid.end(), std::uint8_t(1));
    }
    const xmoe::LossView<R> view{{logits.data(), tokens(), experts},
                                 {scores.data(), tokens(), experts},
                                 routing,
                                 in(valid),
                                 out(scratch)};
    return loss.evaluate(view, xmoe::Out<R>(dscores.data(), tokens(), experts),
                         xmoe::Out<R>(dlogits.data(), tokens(), experts));
  }

 private:
  std::vector<index> offsets_ = {0};
  std::vector<std::int32_t> ids_;
};

}  // namespace tests
