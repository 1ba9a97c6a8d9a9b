// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/narrow.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_case.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

/// A format by its numbers; everything below is derived from them.
template <class W>
struct Format;
template <>
struct Format<bfloat16> {
  static constexpr int fraction = 7, bias = 127;
};
template <>
struct Format<half> {
  static constexpr int fraction = 10, bias = 15;
};
template <class W>
constexpr std::uint32_t infinity_bits = 0x8000u - (1u << Format<W>::fraction);
template <class W>
constexpr std::uint16_t quiet_bit = 1u << (Format<W>::fraction - 1);

/// What finite bits stand for, by the definition of the format.
template <class W>
double decoded(std::uint32_t bits) {
  const int field = static_cast<int>((bits & 0x7fffu) >> Format<W>::fraction);
  const int fraction = static_cast<int>(bits & ((1u << Format<W>::fraction) - 1u));
  const int scale = 1 - Format<W>::bias - Format<W>::fraction;
  const double value = field == 0
                           ? std::ldexp(fraction, scale)
                           : std::ldexp((1 << Format<W>::fraction) + fraction, field - 1 + scale);
  return (bits & 0x8000u) != 0 ? -value : value;
}

/// Magnitudes of all finite numbers, ascending; behind them the first that is too large.
template <class W>
const std::vector<double>& magnitudes() {
  static const std::vector<double> all = [] {
    std::vector<double> values;
    for (std::uint32_t bits = 0; bits < infinity_bits<W>; ++bits) {
      values.push_back(decoded<W>(bits));
    }
    const std::size_t n = values.size();
    values.push_back(2.0 * values[n - 1] - values[n - 2]);
    return values;
  }();
  return all;
}

/// To nearest, ties to even, by looking at both neighbours.
template <class W>
std::uint16_t rounded(float value) {
  const std::vector<double>& all = magnitudes<W>();
  const std::uint32_t sign = std::signbit(value) ? 0x8000u : 0u;
  const double m = std::abs(static_cast<double>(value));
  if (m >= all.back()) {
    return static_cast<std::uint16_t>(sign | infinity_bits<W>);
  }
  const auto above = std::upper_bound(all.begin(), all.end(), m);
  const auto low = static_cast<std::uint32_t>(above - all.begin() - 1);
  const double middle = 0.5 * (all[low] + all[low + 1]);  // exact
  const bool up = m > middle || (m == middle && low % 2 == 1);
  return static_cast<std::uint16_t>(sign | (up ? low + 1 : low));
}

/// How many floats are rounded otherwise than by `rounded`; the last one of them is shown.
template <class W>
struct Wrong {
  int count = 0;
  float value = 0.f;
  void check(float v) {
    if (W(v).bits != rounded<W>(v)) {
      ++count;
      value = v;
    }
  }
};

TEMPLATE_TEST_CASE("narrow: every pattern goes through float and back", "[core][narrow]", bfloat16,
                   half) {
  using W = TestType;
  int wrong_values = 0, wrong_bits = 0;
  for (std::uint32_t b = 0; b < 0x10000u; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const float value = static_cast<float>(W::from_bits(bits));
    const std::uint32_t magnitude = bits & 0x7fffu;
    const bool nan = magnitude > infinity_bits<W>;
    const bool right =
        nan ? std::isnan(value)
            : (magnitude == infinity_bits<W> ? std::isinf(value)
                                             : static_cast<double>(value) == decoded<W>(bits));
    wrong_values += right && std::signbit(value) == (bits >= 0x8000u) ? 0 : 1;
    const std::uint16_t back = nan ? static_cast<std::uint16_t>(bits | quiet_bit<W>) : bits;
    wrong_bits += W(value).bits == back && W(static_cast<double>(value)).bits == back ? 0 : 1;
  }
  CHECK(wrong_values == 0);
  CHECK(wrong_bits == 0);
}

TEMPLATE_TEST_CASE("narrow: rounds to the nearest, ties to even", "[core][narrow]", bfloat16,
                   half) {
  using W = TestType;
  constexpr float inf = std::numeric_limits<float>::infinity();
  Wrong<W> wrong;
  SECTION("every tie and the floats around it") {
    const std::vector<double>& all = magnitudes<W>();
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
      const float tie = static_cast<float>(0.5 * (all[i] + all[i + 1]));
      REQUIRE(2.0 * static_cast<double>(tie) == all[i] + all[i + 1]);
      for (const float v : {tie, std::nextafter(tie, inf), std::nextafter(tie, 0.f)}) {
        wrong.check(v);
        wrong.check(-v);
      }
    }
  }
  SECTION("floats of all sizes, denormal ones too") {
    tests::Generator random(1);
    for (int i = 0; i < 300'000; ++i) {
      const float v = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()));
      if (!std::isnan(v)) {
        wrong.check(v);
      }
    }
    for (std::uint32_t b = 0; b < 300; ++b) {
      wrong.check(std::bit_cast<float>(b));
      wrong.check(std::bit_cast<float>(b | 0x80000000u));
    }
  }
  SECTION("floats in the range of both formats") {
    tests::Generator random(2);
    for (int i = 0; i < 300'000; ++i) {
      const double scale = std::ldexp(1.0, static_cast<int>(random.below(48)) - 30);
      wrong.check(static_cast<float>(scale * random.normal()));
    }
  }
  SECTION("the ends") {
    for (const float v : {0.f, -0.f, inf, -inf, std::numeric_limits<float>::max(),
                          std::numeric_limits<float>::lowest(), 65504.f, 65519.996f, 65520.f}) {
      wrong.check(v);
    }
  }
  INFO("the last one: " << wrong.value);
  CHECK(wrong.count == 0);
}

TEMPLATE_TEST_CASE("narrow: the comparison notices truncation", "[core][narrow]", bfloat16, half) {
  using W = TestType;
  tests::Generator random(3);
  int truncated = 0;
  for (int i = 0; i < 1000; ++i) {
    const float v = static_cast<float>(random.normal());
    const std::uint16_t bits = rounded<W>(v);
    truncated += std::abs(decoded<W>(bits)) > std::abs(static_cast<double>(v)) ? 1 : 0;
  }
  CHECK(truncated > 400);
  CHECK(truncated < 600);
}

TEMPLATE_TEST_CASE("narrow: NaN stays NaN and keeps its sign", "[core][narrow]", bfloat16, half) {
  using W = TestType;
  tests::Generator random(4);
  std::vector<std::uint32_t> patterns = {0x7f800001u, 0x7fbfffffu, 0x7fc00000u, 0x7fffffffu,
                                         0x7f80ffffu, 0x7f801fffu, 0x7f802000u, 0x7f810000u};
  for (int i = 0; i < 1000; ++i) {
    patterns.push_back(0x7f800001u + static_cast<std::uint32_t>(random.below(0x7fffff)));
  }
  int wrong = 0;
  for (const std::uint32_t pattern : patterns) {
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const W w(std::bit_cast<float>(pattern | sign));
      wrong += (w.bits & 0x7fffu) > infinity_bits<W> && (w.bits >= 0x8000u) == (sign != 0) &&
                       std::isnan(static_cast<float>(w))
                   ? 0
                   : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("narrow: numbers by hand", "[core][narrow]") {
  CHECK(bfloat16(3.14159274f).bits == 0x4049);
  CHECK(bfloat16(0.1f).bits == 0x3dcd);
  CHECK(bfloat16(-2.f).bits == 0xc000);
  CHECK(bfloat16(1.f + 0x1p-8f).bits == 0x3f80);
  CHECK(bfloat16(1.f + 3 * 0x1p-8f).bits == 0x3f82);
  CHECK(bfloat16(0x1p-133f).bits == 1);
  CHECK(bfloat16(0x1p-134f).bits == 0);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(half(3.14159274f).bits == 0x4248);
  CHECK(half(0.1f).bits == 0x2e66);
  CHECK(half(-2.f).bits == 0xc000);
  CHECK(half(65504.f).bits == 0x7bff);
  CHECK(half(65519.996f).bits == 0x7bff);
  CHECK(half(65520.f).bits == 0x7c00);
  CHECK(half(-1e30f).bits == 0xfc00);
  CHECK(half(0x1p-24f).bits == 1);
  CHECK(half(0x1p-25f).bits == 0);
  CHECK(half(0x1.000002p-25f).bits == 1);
  CHECK(half(0x1.ff8p-15f).bits == 0x03ff);  // the largest denormal
  CHECK(half(0x1.ffcp-15f).bits == 0x0400);  // a tie: to the smallest normal
  CHECK(half(2049.0).bits == half(2048.f).bits);
}

TEST_CASE("narrow: before the program runs, and what it is not", "[core][narrow]") {
  static_assert(bfloat16().bits == 0 && half().bits == 0);
  static_assert(static_cast<float>(bfloat16(1.5f)) == 1.5f);
  static_assert(static_cast<float>(half(-0.375)) == -0.375f);
  static_assert(static_cast<float>(half(0x1p-20f)) == 0x1p-20f);  // denormal
  static_assert(half(1e9f) == half::from_bits(0x7c00));
  static_assert(bfloat16(1.003f) == bfloat16(1.f) && bfloat16(1.01f) != bfloat16(1.f));
  // of the bits: zeros differ, NaN equals itself
  static_assert(half(0.f) != half(-0.f) && bfloat16(0.f) != bfloat16(-0.f));
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  static_assert(half(nan) == half(nan) && bfloat16(nan) == bfloat16(nan));
  static_assert(sizeof(bfloat16) == 2 && sizeof(half) == 2);
  static_assert(std::is_trivially_copyable_v<bfloat16> && std::is_trivially_copyable_v<half>);
  static_assert(!std::is_convertible_v<float, half> && !std::is_convertible_v<half, float>);
  static_assert(!std::is_convertible_v<float, bfloat16> && !std::is_convertible_v<bfloat16, float>);
  static_assert(!std::is_constructible_v<half, bfloat16>);
  static_assert(NarrowWeight<bfloat16> && NarrowWeight<half>);
  static_assert(!NarrowWeight<float> && !NarrowWeight<double> && !NarrowWeight<std::uint16_t>);
  static_assert(std::is_same_v<sum_type<half>, float> && std::is_same_v<sum_type<bfloat16>, float>);
  static_assert(std::is_same_v<sum_type<float>, float> && std::is_same_v<sum_type<double>, double>);
  float one = 1.f;  // at run time as at compile time
  CHECK(half(one) == half(1.f));
  CHECK(bfloat16(one) != bfloat16(2.f));
}

}  // namespace
