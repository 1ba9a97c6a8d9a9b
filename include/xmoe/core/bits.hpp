// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

namespace xmoe::inline XMOE_ABI {

// Tests by bit pattern: they hold under -ffast-math, where comparisons with NaN may be deleted.
// __builtin_bit_cast is what std::bit_cast is made of; nvcc lets device code use it.

namespace detail {
XMOE_HD constexpr std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
XMOE_HD constexpr std::uint64_t bits_of(double x) { return __builtin_bit_cast(std::uint64_t, x); }
}  // namespace detail

XMOE_HD constexpr bool is_nan(float x) { return (detail::bits_of(x) & 0x7fffffffu) > 0x7f800000u; }
XMOE_HD constexpr bool is_nan(double x) {
  return (detail::bits_of(x) & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
}

XMOE_HD constexpr bool is_finite(float x) {
  return (detail::bits_of(x) & 0x7f800000u) != 0x7f800000u;
}
XMOE_HD constexpr bool is_finite(double x) {
  return (detail::bits_of(x) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

/// NaN or plus infinity. Minus infinity is the usual mark of a masked logit and passes.
XMOE_HD constexpr bool is_nan_or_positive_infinity(float x) {
  return is_nan(x) || detail::bits_of(x) == 0x7f800000u;
}
XMOE_HD constexpr bool is_nan_or_positive_infinity(double x) {
  return is_nan(x) || detail::bits_of(x) == 0x7ff0000000000000u;
}

XMOE_HD constexpr bool is_negative_infinity(float x) { return detail::bits_of(x) == 0xff800000u; }
XMOE_HD constexpr bool is_negative_infinity(double x) {
  return detail::bits_of(x) == 0xfff0000000000000u;
}

}  // namespace xmoe::inline XMOE_ABI
