// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/tape.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// What a layer's slots own on the device, in W the experts, in R the router.
template <class Router, class Expert, class W, class R>
struct DeviceWeights {
  typename DeviceCode<Router>::template Weights<R> router;
  typename DeviceCode<Expert>::template Weights<W> expert;

  static DeviceWeights make(const Router& r, const Expert& e, cudaStream_t stream,
                            Sizes router_sizes, Sizes sizes) {
    return {DeviceCode<Router>::template make_weights<R>(r, stream, router_sizes),
            DeviceCode<Expert>::template make_weights<W>(e, stream, sizes)};
  }
  DeviceParameters parameters() {
    DeviceParameters list;
    append(list, "router.", router);
    append(list, "expert.", expert);
    return list;
  }
};

/// touched[e] becomes 1 where the plan has rows of e.
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(128) touch_kernel(const int* offsets, int experts, T* touched) {
  const int e = block_index() * 128 + thread_index();
  if (e < experts && load<int>(offsets + e) < load<int>(offsets + e + 1)) {
    store(touched + e, T(1));
  }
}

}  // namespace detail

/// Sums of a layer's gradients in device memory, zeros at first: float, or double where the layer
/// is. Made by `layer.make_gradients()`; backward adds to it.
template <class Router, class Expert, class Traits>
class DeviceGradients {
 public:
  DeviceGradients() = default;

  /// Same names, order and shapes as the layer's own list.
  DeviceParameters parameters() { return weights_.parameters(); }
  /// False: no row reached the expert, its gradients are exactly zero. Reads the device, waits.
  bool touched(index expert) const {
    std::vector<std::uint8_t> flags(static_cast<std::size_t>(touched_.size()));
    touched_.download(stream_, flags);
    return flags[static_cast<std::size_t>(expert)] != 0;
  }
  void zero() {
    for (const DeviceParameter& p : parameters()) {
      std::visit([&](auto* t) { t->zero(stream_); }, p.tensor);
    }
    touched_.zero(stream_);
    stale_ = false;
  }
  /// Like zero, but the numbers stay as they are until the next backward, which writes them instead
  /// of adding. Do not read or change them in between.
  void restart() {
    touched_.zero(stream_);
    stale_ = true;
  }

 private:
  template <class, class, class, class>
  friend class xmoe::MoeLayer;

  using Weights =
      detail::DeviceWeights<Router, Expert, typename Traits::sum, typename Traits::routing>;

  DeviceGradients(Weights zeros, Sizes sizes, cudaStream_t stream)
      : weights_(std::move(zeros)),
        touched_(sizes.experts, uninitialized),
        sizes_(sizes),
        numbers_(count(weights_.parameters())),
        stream_(stream) {
    touched_.zero(stream);
  }

  void check(const char* function, Sizes sizes, index numbers) const {
    if (sizes_ != sizes || numbers_ != numbers) {
      xmoe::detail::fail<shape_error>(
          "%s: gradients hold %td numbers for %td experts, the layer has %td numbers and %td "
          "experts; use make_gradients()",
          function, numbers_, sizes_.experts, numbers, sizes.experts);
    }
  }
  /// After a backward.
  void settle(const DevicePlan& plan) {
    launch(stream_, detail::touch_kernel<std::uint8_t>,
           Grid{static_cast<unsigned>((plan.experts + 127) / 128)}, 128u, 0,
           static_cast<const int*>(plan.offsets), plan.experts, touched_.data());
    stale_ = false;
  }

  Weights weights_;
  DeviceBuffer<std::uint8_t> touched_;  ///< [E]
  bool stale_ = false;
  Sizes sizes_{};
  index numbers_ = 0;
  cudaStream_t stream_ = nullptr;
};

}  // namespace xmoe::inline XMOE_ABI::cuda
