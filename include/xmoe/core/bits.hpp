// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <bit>

namespace xmoe::inline XMOE_ABI {

// Tests by bit pattern: they hold under -ffast-math, where comparisons with NaN may be deleted.

XMOE_HD constexpr bool is_nan(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) > 0x7f800000u;
}
XMOE_HD constexpr bool is_nan(double x) {
  return (std::bit_cast<std::uint64_t>(x) & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
}

XMOE_HD constexpr bool is_finite(float x) {
  return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u;
}
XMOE_HD constexpr bool is_finite(double x) {
  return (std::bit_cast<std::uint64_t>(x) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

/// NaN or plus infinity. Minus infinity is the usual mark of a masked logit and passes.
XMOE_HD constexpr bool is_nan_or_positive_infinity(float x) {
  return is_nan(x) || std::bit_cast<std::uint32_t>(x) == 0x7f800000u;
}
XMOE_HD constexpr bool is_nan_or_positive_infinity(double x) {
  return is_nan(x) || std::bit_cast<std::uint64_t>(x) == 0x7ff0000000000000u;
}

}  // namespace xmoe::inline XMOE_ABI
