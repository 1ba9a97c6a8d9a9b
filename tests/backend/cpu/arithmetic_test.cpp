// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/arithmetic.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_case.hpp"

namespace xmoe {
namespace {

using cpu::Arithmetic;
using tests::Generator;

template <class S>
constexpr S inf = std::numeric_limits<S>::infinity();
template <class S>
constexpr S nan_of = std::numeric_limits<S>::quiet_NaN();

/// Numbers of any size that a product of two still holds.
template <class S>
S any(Generator& random) {
  return static_cast<S>(std::ldexp(random.normal(), static_cast<int>(random.below(20)) - 10));
}
/// The same bits, or both NaN.
bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

TEMPLATE_TEST_CASE("arithmetic: a step is one multiply-add in each lane", "[backend]", float,
                   double, half) {
  using W = TestType;
  using Kind = Arithmetic<W>;
  using Sum = typename Kind::Sum;
  constexpr index lanes = cpu::Simd<Sum>::lanes;
  static_assert(std::same_as<Sum, sum_type<W>>);
  static_assert(std::same_as<typename Kind::Left, Sum>);
  Generator random(1);
  int fused = 0, separate = 0, total = 0;
  for (int round = 0; round < 500; ++round) {
    typename Kind::Vector sum{};
    std::vector<W> b;
    for (index i = 0; i < lanes; ++i) {
      sum[i] = any<Sum>(random);
      b.push_back(W(any<Sum>(random)));
    }
    const Sum a = any<Sum>(random);
    const auto got = Kind::multiply_add(sum, a, Kind::load(b.data()));
    for (index i = 0; i < lanes; ++i) {
      const Sum right = static_cast<Sum>(b[static_cast<std::size_t>(i)]);
      const volatile Sum product = a * right;
      fused += got[i] == std::fma(a, right, sum[i]) ? 1 : 0;
      separate += got[i] == sum[i] + product ? 1 : 0;
      ++total;
    }
  }
  CHECK((fused == total || separate == total));  // the compiler's choice, but one for all
}

TEMPLATE_TEST_CASE("arithmetic: NaN and infinity propagate", "[backend]", float, double, half,
                   bfloat16) {
  using W = TestType;
  using Kind = Arithmetic<W>;
  using S = sum_type<W>;
  constexpr index count = Panels<W>::per_step * cpu::Simd<S>::lanes;
  const auto step = [](S sum, S a, S b) {
    const std::vector<W> right(static_cast<std::size_t>(count), W(b));
    const S numbers[2] = {a, S(0)};
    typename Kind::Left left[2] = {};
    Kind::pack(left, numbers, Panels<W>::per_step);
    typename Kind::Vector sums{};
    sums += sum;
    return S(Kind::multiply_add(sums, left[0], Kind::load(right.data()))[1]);
  };
  CHECK(step(S(1), S(2), S(3)) == S(7));
  CHECK(std::isnan(step(nan_of<S>, S(2), S(3))));
  CHECK(std::isnan(step(S(1), nan_of<S>, S(3))));
  CHECK(std::isnan(step(S(1), -nan_of<S>, S(3))));
  CHECK(std::isnan(step(S(1), S(2), nan_of<S>)));
  CHECK(std::isnan(step(inf<S>, -inf<S>, S(1))));
  CHECK(step(S(1), inf<S>, S(3)) == inf<S>);
  if (Panels<W>::per_step == 1) {  // else the other number of the pair makes inf * 0
    CHECK(step(S(1), S(-2), inf<S>) == -inf<S>);
  } else {
    CHECK(std::isnan(step(S(1), S(-2), inf<S>)));
  }
  CHECK(step(-inf<S>, S(1), S(1)) == -inf<S>);
  CHECK(std::isnan(step(S(1), S(0), inf<S>)));
  CHECK(std::isnan(step(S(1), inf<S>, S(0))));
}

TEMPLATE_TEST_CASE("arithmetic: packing copies", "[backend]", float, double, half) {
  using Kind = Arithmetic<TestType>;
  using Sum = typename Kind::Sum;
  const Sum from[5] = {Sum(1), nan_of<Sum>, -inf<Sum>, Sum(1e-40), Sum(-0.0)};
  for (index count = 0; count <= 5; ++count) {
    Sum to[6] = {Sum(7), Sum(7), Sum(7), Sum(7), Sum(7), Sum(7)};
    Kind::pack(to, from, count);
    CHECK(std::memcmp(to, from, static_cast<std::size_t>(count) * sizeof(Sum)) == 0);
    CHECK(to[count] == Sum(7));
  }
}

TEST_CASE("arithmetic: half is widened exactly, all patterns", "[backend]") {
  using Kind = Arithmetic<half>;
  constexpr index lanes = cpu::Simd<float>::lanes;
  int wrong = 0;
  for (std::uint32_t first = 0; first < 0x10000u; first += static_cast<std::uint32_t>(lanes)) {
    half from[static_cast<std::size_t>(lanes) + 1];  // one further on: any alignment
    for (index i = 0; i < lanes; ++i) {
      from[i + 1] = half::from_bits(static_cast<std::uint16_t>(first + i));
    }
    const auto wide = Kind::load(from + 1);
    for (index i = 0; i < lanes; ++i) {
      wrong += same(wide[i], static_cast<float>(from[i + 1])) ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

using Pairs = Arithmetic<bfloat16>;
constexpr index lanes = cpu::Simd<float>::lanes;

float low_of(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_of(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
/// What the processor may make of a number.
float flushed(float v) { return std::abs(v) < 0x1p-126f ? std::copysign(0.f, v) : v; }

/// sum + low * low + high * high for operands given in bfloat16, all lanes.
std::vector<float> stepped(const std::vector<float>& sum, std::uint32_t a,
                           const std::vector<bfloat16>& b) {
  const Pairs::Vector got =
      Pairs::multiply_add(cpu::Simd<float>::load(sum.data()), a, Pairs::load(b.data()));
  std::vector<float> result(sum.size());
  cpu::Simd<float>::store(result.data(), got);
  return result;
}

TEST_CASE("arithmetic: a bfloat16 step adds two products", "[backend]") {
  Generator random(2);
  int wrong = 0, swapped = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<float> sum;
    std::vector<bfloat16> b;
    for (index i = 0; i < lanes; ++i) {
      sum.push_back(any<float>(random));
      b.push_back(bfloat16(any<float>(random)));
      b.push_back(bfloat16(any<float>(random)));
    }
    const std::uint32_t a = Pairs::pair(any<float>(random), any<float>(random));
    const std::vector<float> got = stepped(sum, a, b);
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const auto wide = [](auto v) { return static_cast<double>(static_cast<float>(v)); };
      // products of 8-bit numbers are exact; each of two sums is rounded once, or not at all
      const double first = wide(low_of(a)) * wide(b[2 * i]);
      const double second = wide(high_of(a)) * wide(b[2 * i + 1]);
      const double size = std::abs(wide(sum[i])) + std::abs(first) + std::abs(second);
      const double allowed = 2.0 * wide(std::numeric_limits<float>::epsilon()) * size;
      wrong += std::abs(wide(got[i]) - (wide(sum[i]) + first + second)) <= allowed ? 0 : 1;
      const double other = wide(low_of(a)) * wide(b[2 * i + 1]) + wide(high_of(a)) * wide(b[2 * i]);
      swapped += std::abs(wide(got[i]) - (wide(sum[i]) + other)) <= allowed ? 1 : 0;
    }
  }
  CHECK(wrong == 0);
  CHECK(swapped < 2000 * lanes / 100);  // a swapped pair is told apart
}

TEST_CASE("arithmetic: a bfloat16 step does not depend on the lane", "[backend]") {
  Generator random(3);
  for (int round = 0; round < 200; ++round) {
    const std::vector<float> sum(static_cast<std::size_t>(lanes), any<float>(random));
    const bfloat16 pair[2] = {bfloat16(any<float>(random)), bfloat16(any<float>(random))};
    std::vector<bfloat16> b;
    for (index i = 0; i < lanes; ++i) {
      b.insert(b.end(), pair, pair + 2);
    }
    const auto got = stepped(sum, Pairs::pair(any<float>(random), any<float>(random)), b);
    CHECK(got == std::vector<float>(sum.size(), got[0]));
  }
}

TEST_CASE("arithmetic: bfloat16 numbers below 2^-126 count in full or as zero", "[backend]") {
  const std::vector<float> sum(static_cast<std::size_t>(lanes), 1.f);
  const bfloat16 large(0x1p127f);
  const bfloat16 tiny(0x1p-130f);
  const auto filled = [&](bfloat16 v) {
    return std::vector<bfloat16>(2 * static_cast<std::size_t>(lanes), v);
  };
  const float from_left = stepped(sum, Pairs::pair(0x1p-130f, 0.f), filled(large))[0];
  const float from_right = stepped(sum, Pairs::pair(0.f, 0x1p127f), filled(tiny))[0];
  CHECK((from_left == 1.f || from_left == 1.125f));
  CHECK((from_right == 1.f || from_right == 1.125f));
  const std::vector<float> zeros(sum.size(), 0.f);
  const float result = stepped(zeros, Pairs::pair(0x1p-100f, 0.f), filled(bfloat16(0x1p-30f)))[0];
  CHECK((result == 0.f || result == 0x1p-130f));
}

TEST_CASE("arithmetic: bfloat16 rows are packed two by two", "[backend]") {
  Generator random(4);
  for (const index count : {0, 1, 2, 3, 15, 16, 17, 30, 31, 32, 33, 63, 64, 65, 99, 130}) {
    std::vector<float> from;
    for (index i = 0; i < count; ++i) {
      const float hard[6] = {inf<float>, -inf<float>, nan_of<float>, -0.f, 1e-40f, 3.4e38f};
      from.push_back(random.below(8) == 0 ? hard[random.below(6)] : any<float>(random));
    }
    const std::size_t steps = static_cast<std::size_t>((count + 1) / 2);
    std::vector<std::uint32_t> to(steps + 1, 0x12345678u);
    Pairs::pack(to.data(), from.data(), count);
    int wrong = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const float got = i % 2 == 0 ? low_of(to[i / 2]) : high_of(to[i / 2]);
      const float want = static_cast<float>(bfloat16(from[i]));
      const float zero = static_cast<float>(bfloat16(flushed(from[i])));
      wrong += same(got, want) || same(got, zero) ? 0 : 1;
    }
    INFO(count << " numbers");
    CHECK(wrong == 0);
    CHECK(to[steps] == 0x12345678u);
    CHECK((count % 2 == 0 || high_of(to[steps - 1]) == 0.f));
  }
}

TEST_CASE("arithmetic: pairs of two rows", "[backend]") {
  Generator random(5);
  for (const index count : {0, 1, 3, 4, 15, 16, 17, 32, 45}) {
    std::vector<float> first, second;
    for (index i = 0; i < count; ++i) {  // all bits: NaN, infinity and denormal numbers too
      first.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random.bits())));
      second.push_back(i % 5 == 0 ? nan_of<float> : any<float>(random));
    }
    std::vector<std::uint32_t> to(first.size() + 1, 0x12345678u);
    Pairs::pair(to.data(), first.data(), second.data(), count);
    for (std::size_t i = 0; i < first.size(); ++i) {
      CHECK(to[i] == Pairs::pair(first[i], second[i]));
      CHECK(same(low_of(to[i]), static_cast<float>(bfloat16(first[i]))));
      CHECK(same(high_of(to[i]), static_cast<float>(bfloat16(second[i]))));
    }
    CHECK(to.back() == 0x12345678u);
  }
}

}  // namespace
}  // namespace xmoe
