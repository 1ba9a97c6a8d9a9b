// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/dispatch.cuh>
#include <xmoe/backend/cuda/expert.cuh>
#include <xmoe/backend/cuda/router.cuh>
#include <xmoe/moe_layer.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// What backward needs of one recorded call, in device memory. Reusable; grows when it must, never
/// shrinks. Keeps views of x and of the padding mask, which must stay alive and unchanged until
/// backward. Moves, is not copied; what was moved from holds no record.
template <class Expert, class Traits>
class DeviceTape {
  using S = typename Traits::scalar;
  using R = typename Traits::routing;

 public:
  DeviceTape() = default;

  /// Views of device memory, for kernels of your own.
  const DeviceRouting<R>& routing() const { return routing_; }
  const DevicePlan& plan() const { return plan_; }

 private:
  template <class, class, class, class>
  friend class xmoe::MoeLayer;

  static constexpr int most_losses = 16;

  /// A flag that does not stay behind when it moves.
  struct Recorded {
    bool value = false;
    Recorded() = default;
    Recorded(Recorded&& other) noexcept : value(std::exchange(other.value, false)) {}
    Recorded& operator=(Recorded&& other) noexcept {
      value = std::exchange(other.value, false);
      return *this;
    }
  };

  void check(const char* function, Sizes sizes) const {
    if (!recorded_.value) {
      xmoe::detail::fail<value_error>("%s: nothing is recorded on this tape", function);
    }
    if (sizes_ != sizes) {
      xmoe::detail::fail<value_error>(
          "%s: the tape was recorded by a layer of %td x %td x %td (model_dim, experts, "
          "expert_dim), this one has %td x %td x %td",
          function, sizes_.model_dim, sizes_.experts, sizes_.expert_dim, sizes.model_dim,
          sizes.experts, sizes.expert_dim);
    }
  }

  DeviceWorkspace memory_;
  DeviceBatch<S> batch_;
  DeviceRouting<R> routing_;
  DevicePlan plan_;
  typename detail::DeviceCode<Expert>::template Cache<S> cache_;
  R* dscores_ = nullptr;  ///< [T,E] from losses
  R* dlogits_ = nullptr;
  double* losses_ = nullptr;  ///< [most_losses] values
  std::byte* loss_scratch_ = nullptr;
  int loss_count_ = 0;
  Random random_;
  Sizes sizes_{};  ///< of the layer that recorded
  Recorded recorded_;
};

}  // namespace xmoe::inline XMOE_ABI::cuda
