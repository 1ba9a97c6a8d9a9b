// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/narrow.hpp>
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI {

namespace cpu {
class Backend;
}

/// The type in which routing is computed: float, whatever the activations are, since a narrower
/// router changes which expert is chosen. double stays double, so that gradients can be checked.
template <class S>
using routing_scalar = std::conditional_t<std::same_as<S, double>, double, float>;

/// Traits of a layer on the CPU: scalar of the activations, of the experts' weights, memory space,
/// backend. Weights may be narrower: bfloat16 or half with float.
///
///   bfloat16   activations are rounded to bfloat16 on their way into a product, sums are float;
///              numbers below 2^-126 count as zero
///   half       weights are widened, products and sums are float
template <class Scalar = float, class Weight = Scalar>
struct Cpu {
  static_assert(std::same_as<Weight, sum_type<Weight>> ? std::same_as<Weight, Scalar>
                                                       : std::same_as<Scalar, float>,
                "xmoe::Cpu: weights are of the activations' type, or bfloat16 or half with float");
  using scalar = Scalar;
  using weight = Weight;
  using routing = routing_scalar<Scalar>;
  using space = host;
  using backend = cpu::Backend;
  /// The same with gradients and moments in place of weights: these are never narrow.
  using gradient = Cpu<Scalar>;
};

/// True where `Policy` runs on `Traits`. Read by the layer, the tests and the documentation.
/// A policy restricts itself by a member template `supports<Traits>`; else it runs wherever the
/// backend's primitives do.
template <class Policy, class Traits>
inline constexpr bool supports = [] {
  if constexpr (requires { Policy::template supports<Traits>; }) {
    return bool(Policy::template supports<Traits>);
  } else {
    return true;
  }
}();
template <class Policy, class S, class W>
inline constexpr bool supports<Policy, Cpu<S, W>> = true;

}  // namespace xmoe::inline XMOE_ABI
