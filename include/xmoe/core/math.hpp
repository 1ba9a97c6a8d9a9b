// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

#include <cmath>
#include <limits>

namespace xmoe::inline XMOE_ABI::math {

/// +Inf as a constant: device code may use it where it may not call std::numeric_limits.
template <class S>
inline constexpr S infinity = std::numeric_limits<S>::infinity();

namespace detail {
// 2^k as a number, k in the range of normal exponents.
XMOE_HD constexpr float power_of_two(std::int32_t k, float) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(k + 127) << 23);
}
XMOE_HD constexpr double power_of_two(std::int32_t k, double) {
  return __builtin_bit_cast(double, static_cast<std::uint64_t>(k + 1023) << 52);
}
template <class S>
struct exp_range;
template <>
struct exp_range<float> {
  static constexpr float low = -87.3f, high = 88.7f;          // e^x is a normal number between
  static constexpr float ln2_high = 0.693359375f;             // 9 bits of ln 2: exact times k
  static constexpr float ln2_low = -2.12194440054690583e-4f;  // the rest of ln 2
  static constexpr int degree = 7;
};
template <>
struct exp_range<double> {
  static constexpr double low = -708.0, high = 709.7;
  static constexpr double ln2_high = 0.693145751953125;
  static constexpr double ln2_low = 1.42860682030941723212e-6;
  static constexpr int degree = 13;
};
}  // namespace detail

/// e^x without branches, so that loops over rows vectorise.
///
///   in     any x; below the normal range 0, above it +Inf, NaN stays NaN
///   cost   a Taylor polynomial of degree 7 (float) or 13 (double) on |r| <= ln(2)/2
///   error  below 2 ulp
template <class S>
XMOE_HD inline S exp(S x) {
  using range = detail::exp_range<S>;
  const bool number = x == x;
  const S clamped = x < range::low ? range::low : (x > range::high ? range::high : x);
  const S inside = number ? clamped : S(0);
  const S k = std::rint(inside * S(1.4426950408889634));
  const S r = (inside - k * range::ln2_high) - k * range::ln2_low;
  S sum = S(1);
  for (int i = range::degree; i >= 1; --i) {
    sum = sum * (r * (S(1) / S(i))) + S(1);
  }
  const auto whole = static_cast<std::int32_t>(k);
  const std::int32_t half = whole >> 1;
  const S value = sum * detail::power_of_two(half, S()) * detail::power_of_two(whole - half, S());
  const S bounded = x < range::low ? S(0) : (x > range::high ? infinity<S> : value);
  return number ? bounded : x;
}

/// ln x for a normal positive x, the same bits on a CPU and a device.
///
///   cost   a division and an odd series of degree 9 (float) or 23 (double) in (m - 1) / (m + 1)
///   error  below 3 epsilon of the scalar times max(|ln x|, 1/2)
template <class S>
XMOE_HD inline S log(S x) {
  constexpr bool single = sizeof(S) == 4;
  using Bits = std::conditional_t<single, std::uint32_t, std::uint64_t>;
  constexpr int digits = single ? 23 : 52;
  constexpr Bits root = single ? Bits{0x3f3504f3u} : static_cast<Bits>(0x3fe6a09e667f3bcdu);
  const Bits bits = __builtin_bit_cast(Bits, x);  // x = 2^k m, m from sqrt(1/2) to sqrt(2)
  const auto k = static_cast<std::int32_t>((bits - root) >> digits) -
                 ((bits < root) ? (single ? 512 : 4096) : 0);
  const S m = __builtin_bit_cast(S, bits - (static_cast<Bits>(k) << digits));
  const S f = (m - S(1)) / (m + S(1));
  const S square = f * f;
  S sum = S(0);
  for (int i = single ? 9 : 23; i >= 3; i -= 2) {
    sum = (sum + S(1) / S(i)) * square;
  }
  const S whole = static_cast<S>(k);
  return whole * S(0.693147180369123816490) +
         (S(2) * (f * sum + f) + whole * S(1.90821492927058770002e-10));
}

/// cos(2 pi u) for u in [0, 1], the same bits on a CPU and a device.
template <class S>
XMOE_HD inline S cos_turn(S u) {
  const S near = u > S(0.5) ? S(1) - u : u;  // cos(2 pi u) = cos(2 pi (1 - u))
  const bool behind = near > S(0.25);
  const S x = S(6.283185307179586476925) * (behind ? S(0.5) - near : near);
  const S square = x * x;
  S sum = S(1);
  for (int i = sizeof(S) == 4 ? 14 : 22; i >= 2; i -= 2) {
    sum = S(1) - sum * square * (S(1) / S(i * (i - 1)));
  }
  return behind ? -sum : sum;
}

/// 1 / (1 + e^-x).
template <class S>
XMOE_HD inline S sigmoid(S x) {
  return S(1) / (S(1) + math::exp(-x));
}

/// sum a[i] b[i] in one fixed order: 128 bytes of running sums, then pairwise.
template <class S>
XMOE_HD inline S dot(const S* a, const S* b, index n) {
  constexpr index lanes = 128 / static_cast<index>(sizeof(S));
  S sums[static_cast<std::size_t>(lanes)] = {};
  index i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (index j = 0; j < lanes; ++j) {
      sums[j] += a[i + j] * b[i + j];
    }
  }
  for (index j = 0; j < lanes; ++j) {
    if (i + j < n) {
      sums[j] += a[i + j] * b[i + j];
    }
  }
  for (index width = lanes / 2; width > 0; width /= 2) {
    for (index j = 0; j < width; ++j) {
      sums[j] += sums[j + width];
    }
  }
  return sums[0];
}

/// sum a[i], in the order of `dot`.
template <class S>
XMOE_HD inline S sum(const S* a, index n) {
  constexpr index lanes = 128 / static_cast<index>(sizeof(S));
  S sums[static_cast<std::size_t>(lanes)] = {};
  index i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (index j = 0; j < lanes; ++j) {
      sums[j] += a[i + j];
    }
  }
  for (index j = 0; j < lanes; ++j) {
    if (i + j < n) {
      sums[j] += a[i + j];
    }
  }
  for (index width = lanes / 2; width > 0; width /= 2) {
    for (index j = 0; j < width; ++j) {
      sums[j] += sums[j + width];
    }
  }
  return sums[0];
}

}  // namespace xmoe::inline XMOE_ABI::math
