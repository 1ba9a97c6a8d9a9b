// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/layer_weights.hpp>
#include <xmoe/core/plan.hpp>
#include <xmoe/core/sizes.hpp>

#include <algorithm>

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
    stale_ = false;
  }
  /// Like zero, but leaves the experts' numbers as they are until the next backward, which writes
  /// them instead of adding: gradients of large layers then pass through memory once, not three
  /// times. Do not read or change them in between.
  void restart() {
    if constexpr (requires { Expert::overwrites_untouched; }) {
      for (const Parameter& p : parameters()) {
        if (!of_expert(p)) {
          std::visit([](auto* t) { t->zero(); }, p.tensor);
        }
      }
      touched_.zero();
      stale_ = true;
    } else {
      zero();
    }
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

  static bool of_expert(const Parameter& p) { return p.name.starts_with("expert."); }

  /// For RowGradient::touched: null unless the next backward is to write.
  const std::uint8_t* unwritten() const { return stale_ ? touched_.data() : nullptr; }
  /// After a backward: marks the experts with rows; zeros for the others if there were none yet.
  void settle(const PlanView& plan) {
    for (const Parameter& p : stale_ ? parameters() : Parameters()) {
      std::visit(
          [&](auto* t) {
            for (index e = 0; of_expert(p) && e < t->count(); ++e) {
              if (plan.load(e) == 0) {
                std::fill_n(t->matrix(e), t->matrix_size(),
                            std::remove_cvref_t<decltype(t->at(0, 0))>());
              }
            }
          },
          p.tensor);
    }
    stale_ = false;
    for (index e = 0; e < plan.experts; ++e) {
      touched_[e] = plan.load(e) > 0 ? std::uint8_t(1) : touched_[e];
    }
  }

  Weights weights_;
  bool stale_ = false;  ///< experts that are not touched hold old numbers
  Buffer<std::uint8_t> touched_;
  Sizes sizes_{};
  index numbers_ = 0;  ///< in all tensors
};

}  // namespace xmoe::inline XMOE_ABI
