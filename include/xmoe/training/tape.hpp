// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/expert.hpp>
#include <xmoe/concepts/router.hpp>
#include <xmoe/core/scratch_pool.hpp>

#include <utility>

namespace xmoe::inline XMOE_ABI {

template <class Router, class Expert, class Dispatch, class Traits>
class MoeLayer;

/// What backward needs of one recorded call. Reusable; grows when it must, never shrinks. Keeps
/// views of x and of the padding mask, which must stay alive and unchanged until backward. Moves,
/// is not copied; what was moved from holds no record.
template <class Expert, class Traits>
class LayerTape {
  using scalar = typename Traits::scalar;
  using routing_scalar = typename Traits::routing;

 public:
  LayerTape() = default;

  const Decision<routing_scalar>& decision() const { return decision_; }
  const PlanView& plan() const { return plan_; }

 private:
  template <class, class, class, class>
  friend class MoeLayer;

  /// A flag that does not stay behind when it moves.
  struct Recorded {
    bool value = false;
    Recorded() = default;
    Recorded(Recorded&& other) noexcept : value(std::exchange(other.value, false)) {}
    Recorded& operator=(Recorded&& other) noexcept {
      value = std::exchange(other.value, false);
      return *this;
    }
    Recorded& operator=(bool now) {
      value = now;
      return *this;
    }
  };

  void check(const char* function, Sizes sizes) const {
    if (!recorded_.value) {
      detail::fail<value_error>("%s: nothing is recorded on this tape", function);
    }
    if (sizes_ != sizes) {
      detail::fail<value_error>(
          "%s: the tape was recorded by a layer of %td x %td x %td (model_dim, experts, "
          "expert_dim), this one has %td x %td x %td",
          function, sizes_.model_dim, sizes_.experts, sizes_.expert_dim, sizes.model_dim,
          sizes.experts, sizes.expert_dim);
    }
  }

  Memory memory_;
  Batch<scalar> batch_;
  Decision<routing_scalar> decision_;
  PlanView plan_;
  cache_of<Expert, Traits> cache_{};
  MatrixView<routing_scalar> dscores_;  ///< from losses
  MatrixView<routing_scalar> dlogits_;
  Random random_;
  Sizes sizes_{};  ///< of the layer that recorded
  Recorded recorded_;
};

}  // namespace xmoe::inline XMOE_ABI
