// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <concepts>

namespace xmoe::inline XMOE_ABI {

namespace detail {
// On a device each conversion is one instruction, with the same result but for which NaN it is.
#if defined(__CUDA_ARCH__)
inline constexpr bool converts = true;
__device__ __forceinline__ std::uint16_t bfloat16_bits(float value) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
__device__ __forceinline__ std::uint16_t half_bits(float value) {
  std::uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
__device__ __forceinline__ float half_value(std::uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
#else
inline constexpr bool converts = false;
XMOE_HD constexpr std::uint16_t bfloat16_bits(float) { return 0; }
XMOE_HD constexpr std::uint16_t half_bits(float) { return 0; }
XMOE_HD constexpr float half_value(std::uint16_t) { return 0.f; }
#endif
}  // namespace detail

/// 16-bit storage of weights: the upper half of a float, 8 bits of exponent, 8 of precision.
/// Rounds to nearest, ties to even; NaN stays NaN, too large numbers become infinite. From double
/// by way of float.
struct bfloat16 {
  std::uint16_t bits = 0;

  constexpr bfloat16() = default;
  XMOE_HD constexpr explicit bfloat16(float value) {
    if (detail::converts && !__builtin_is_constant_evaluated()) {
      bits = detail::bfloat16_bits(value);
      return;
    }
    const auto b = __builtin_bit_cast(std::uint32_t, value);
    const bool nan = (b & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = nan ? b | 0x00400000u : b + 0x7fffu + ((b >> 16) & 1u);
    bits = static_cast<std::uint16_t>(rounded >> 16);
  }
  XMOE_HD constexpr explicit bfloat16(double value) : bfloat16(static_cast<float>(value)) {}
  XMOE_HD constexpr explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
  constexpr bool operator==(const bfloat16&) const = default;  ///< of the bits
  XMOE_HD static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 result;
    result.bits = bits;
    return result;
  }
};

/// 16-bit storage of weights: IEEE binary16, 5 bits of exponent, 11 of precision, up to 65504.
/// Rounds to nearest, ties to even; NaN stays NaN, too large numbers become infinite. From double
/// by way of float.
struct half {
  std::uint16_t bits = 0;

  constexpr half() = default;
  XMOE_HD constexpr explicit half(float value) {
    if (detail::converts && !__builtin_is_constant_evaluated()) {
      bits = detail::half_bits(value);
      return;
    }
    const auto b = __builtin_bit_cast(std::uint32_t, value);
    const auto sign = static_cast<std::uint16_t>((b >> 16) & 0x8000u);
    const std::uint32_t magnitude = b & 0x7fffffffu;
    std::uint32_t result;
    if (magnitude > 0x7f800000u) {
      result = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more
      result = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // normal: 2^-14 and more
      result = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    } else {  // the sum with 1/2 rounds to multiples of 2^-24
      const float sum = __builtin_bit_cast(float, magnitude) + 0.5f;
      result = __builtin_bit_cast(std::uint32_t, sum) - 0x3f000000u;
    }
    bits = static_cast<std::uint16_t>(sign | result);
  }
  XMOE_HD constexpr explicit half(double value) : half(static_cast<float>(value)) {}
  XMOE_HD constexpr explicit operator float() const {
    if (detail::converts && !__builtin_is_constant_evaluated()) {
      return detail::half_value(bits);
    }
    const std::uint32_t sign = (bits & 0x8000u) << 16;
    const std::uint32_t exponent = bits & 0x7c00u;
    const std::uint32_t magnitude = bits & 0x7fffu;
    if (exponent == 0x7c00u) {
      return __builtin_bit_cast(float, sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    }
    if (exponent == 0) {  // multiples of 2^-24
      const float value = static_cast<float>(magnitude) * 0x1p-24f;
      return sign != 0 ? -value : value;
    }
    return __builtin_bit_cast(float, sign | ((magnitude << 13) + 0x38000000u));
  }
  constexpr bool operator==(const half&) const = default;  ///< of the bits
  XMOE_HD static constexpr half from_bits(std::uint16_t bits) {
    half result;
    result.bits = bits;
    return result;
  }
};

/// Types in which weights are stored but nothing is summed.
template <class W>
concept NarrowWeight = std::same_as<W, bfloat16> || std::same_as<W, half>;

/// The type in which products with weights of type W are summed.
template <class W>
using sum_type = std::conditional_t<NarrowWeight<W>, float, W>;

}  // namespace xmoe::inline XMOE_ABI
