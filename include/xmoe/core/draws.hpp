// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/math.hpp>
#include <xmoe/core/random.hpp>

/// Draws for routing: functions of (stream, position) alone, with the same bits on a CPU and a
/// device if both are compiled with fused multiply-adds. (Random::normal is for starting values.)
namespace xmoe::inline XMOE_ABI::draws {

namespace detail {
/// Uniform in (0, 1), never 0 or 1: 23 bits and a half.
template <class R>
XMOE_HD inline R inside(std::uint32_t word) {
  return (static_cast<R>(word >> 9) + R(0.5)) * R(0x1p-23);
}
}  // namespace detail

/// Uniform in (0, 1).
template <class R>
XMOE_HD inline R uniform(Random random, std::uint64_t position) {
  return detail::inside<R>(random.block(position).word[0]);
}
/// Exponential with mean 1.
template <class R>
XMOE_HD inline R exponential(Random random, std::uint64_t position) {
  return -math::log(uniform<R>(random, position));
}
/// Standard Gumbel: argmax over e of z_e + gumbel_e is a draw from softmax(z).
template <class R>
XMOE_HD inline R gumbel(Random random, std::uint64_t position) {
  return -math::log(exponential<R>(random, position));
}
/// Standard normal (Box and Muller).
template <class R>
XMOE_HD inline R normal(Random random, std::uint64_t position) {
  const Random::Block b = random.block(position);
  const R radius = R(-2) * math::log(detail::inside<R>(b.word[0]));
  return std::sqrt(radius) * math::cos_turn(detail::inside<R>(b.word[1]));
}

}  // namespace xmoe::inline XMOE_ABI::draws
