// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI {

/// Counter-based random numbers: a pure function of (seed, stream, position). No state, hence the
/// same draws for any thread count, any order of evaluation and any backend.
///
///   cost    one block of ten rounds a draw
///   source  Philox4x32-10, J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011
struct Random {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  /// An independent stream, for one use at one place.
  XMOE_HD constexpr Random fork(std::uint64_t use) const {
    // splitmix64 of the pair: neighbouring uses land far apart
    std::uint64_t z = stream * 0x9e3779b97f4a7c15u + use + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return {seed, z ^ (z >> 31)};
  }

  struct Block {
    std::uint32_t word[4];
  };
  /// The 128 bits at `position`.
  XMOE_HD constexpr Block block(std::uint64_t position) const {
    std::uint32_t c0 = static_cast<std::uint32_t>(position);
    std::uint32_t c1 = static_cast<std::uint32_t>(position >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(stream);
    std::uint32_t c3 = static_cast<std::uint32_t>(stream >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
      const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
      const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c0 = n0;
      c1 = static_cast<std::uint32_t>(p1);
      c2 = n2;
      c3 = static_cast<std::uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
  }

  /// Uniform in [0, 1), 24 bits.
  XMOE_HD constexpr float uniform(std::uint64_t position) const {
    return static_cast<float>(block(position).word[0] >> 8) * 0x1p-24f;
  }
  /// Standard normal (Box and Muller), in double. Host only in this version.
  double normal(std::uint64_t position) const {
    const Block b = block(position);
    const double u = (static_cast<double>(b.word[0]) + 0.5) * 0x1p-32;
    const double v = (static_cast<double>(b.word[1]) + 0.5) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
};

}  // namespace xmoe::inline XMOE_ABI
