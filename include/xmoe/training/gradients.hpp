// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/layer_weights.hpp>
#include <xmoe/core/sizes.hpp>

namespace xmoe::inline XMOE_ABI {

template <class Router, class Expert, class Dispatch, class Traits>
class MoeLayer;

/// Sums of a layer's gradients, zeros at first, and which experts ever received one. Made by
/// `layer.make_gradients()`; backward adds to it.
template <class Router, class Expert, class Traits>
class LayerGradients {
 public:
  LayerGradients() = default;

  /// Same names, order and shapes as the layer's own list.
  Parameters parameters() { return weights_.parameters(); }
  /// False: no row reached the expert, its gradients are exactly zero.
  bool touched(index expert) const { return touched_[expert] != 0; }
  void zero() {
    for (const Parameter& p : parameters()) {
      std::visit([](auto* t) { t->zero(); }, p.tensor);
    }
    touched_.zero();
  }

 private:
  template <class, class, class, class>
  friend class MoeLayer;

  using Weights = LayerWeights<Router, Expert, typename Traits::gradient>;

  LayerGradients(Weights zeros, Sizes sizes)
      : weights_(std::move(zeros)),
        touched_(sizes.experts),
        sizes_(sizes),
        numbers_(count(weights_.parameters())) {}

  void check(const char* function, Sizes sizes, index numbers) const {
    if (sizes_ != sizes || numbers_ != numbers) {
      detail::fail<shape_error>(
          "%s: gradients hold %td numbers for %td experts, the layer has %td numbers and %td "
          "experts; use make_gradients()",
          function, numbers_, sizes_.experts, numbers, sizes.experts);
    }
  }

  Weights weights_;
  Buffer<std::uint8_t> touched_;
  Sizes sizes_{};
  index numbers_ = 0;  ///< in all tensors
};

}  // namespace xmoe::inline XMOE_ABI
