// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/backend.cuh>
#include <xmoe/backend/cuda/tiles.cuh>
#include <xmoe/core/traits.hpp>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// Device code of a policy: specialised beside each. The general one: there is none.
template <class Policy>
struct DeviceCode {
  static constexpr bool exists = false;
};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail

namespace xmoe::inline XMOE_ABI {

/// Traits of a layer on a CUDA device.
///
///   Scalar  float, double, bfloat16, half: of the activations and of the experts' weights alike.
///           Sums are float (double for double), and so are routing, gate, gradients and moments
///   Math    cuda::Simt or cuda::TensorCore. float stays float unless tensor cores are asked for,
///           which round products' operands to tf32
template <class Scalar = float, class Math = typename cuda::default_math<Scalar>::type>
struct Cuda {
  static_assert(std::same_as<Scalar, double> || std::same_as<Scalar, float> || NarrowWeight<Scalar>,
                "xmoe::Cuda: the scalar is float, double, bfloat16 or half");
  static_assert(!std::same_as<Math, cuda::TensorCore> || !std::same_as<Scalar, double>,
                "xmoe::Cuda: tensor cores take float, bfloat16 and half, not double");
  static_assert(!std::same_as<Math, cuda::Simt> || !NarrowWeight<Scalar>,
                "xmoe::Cuda: bfloat16 and half are for tensor cores");
  using scalar = Scalar;
  using weight = Scalar;
  using routing = routing_scalar<Scalar>;
  using space = device;
  using backend = cuda::Backend;
  using math = Math;
  using sum = sum_type<Scalar>;
  /// Traits of the CPU on which weights get their starting values, and of what is compared with.
  using host_traits = Cpu<sum_type<Scalar>, Scalar>;
};

/// On a device a policy runs where there is code for it; nothing falls back to the host.
template <class Policy, class S, class Math>
inline constexpr bool supports<Policy, Cuda<S, Math>> = cuda::detail::DeviceCode<Policy>::exists;

}  // namespace xmoe::inline XMOE_ABI
