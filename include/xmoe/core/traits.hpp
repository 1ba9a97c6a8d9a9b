// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI {

namespace cpu {
class Backend;
}

/// The type in which routing is computed: float, whatever the activations are, since a narrower
/// router changes which expert is chosen. double stays double, so that gradients can be checked.
template <class S>
using routing_scalar = std::conditional_t<std::same_as<S, double>, double, float>;

/// Traits of a layer on the CPU: scalar of the activations and weights, memory space, backend.
template <class Scalar = float>
struct Cpu {
  using scalar = Scalar;
  using routing = routing_scalar<Scalar>;
  using space = host;
  using backend = cpu::Backend;
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
template <class Policy>
inline constexpr bool supports<Policy, Cpu<float>> = true;
template <class Policy>
inline constexpr bool supports<Policy, Cpu<double>> = true;

}  // namespace xmoe::inline XMOE_ABI
