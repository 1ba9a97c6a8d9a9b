// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/random.hpp>

#include <algorithm>
#include <set>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

/// The four words for a counter and a key given as the words of the published vectors.
Random::Block philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3,
                     std::uint32_t k0, std::uint32_t k1) {
  const auto join = [](std::uint32_t low, std::uint32_t high) {
    return (std::uint64_t{high} << 32) | low;
  };
  return Random{join(k0, k1), join(c2, c3)}.block(join(c0, c1));
}

void check_words(Random::Block got, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                 std::uint32_t d) {
  CHECK(got.word[0] == a);
  CHECK(got.word[1] == b);
  CHECK(got.word[2] == c);
  CHECK(got.word[3] == d);
}

// Known answers of Philox4x32-10 as published with the generator.
TEST_CASE("the generator gives the published numbers", "[core][random]") {
  constexpr std::uint32_t ones = 0xffffffffu;
  check_words(philox(0, 0, 0, 0, 0, 0), 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u);
  check_words(philox(ones, ones, ones, ones, ones, ones), 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u,
              0x6d5451fdu);
  check_words(philox(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u),
              0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u);
}

TEST_CASE("a draw depends on seed, stream and position alone", "[core][random]") {
  const Random r{5, 9};
  CHECK(r.uniform(3) == Random{5, 9}.uniform(3));
  CHECK(r.uniform(3) != r.uniform(4));
  CHECK(r.uniform(3) != Random{6, 9}.uniform(3));
  CHECK(r.uniform(3) != Random{5, 10}.uniform(3));
  static_assert(Random{1, 2}.uniform(3) == Random{1, 2}.uniform(3));
}

TEST_CASE("forks are streams of their own", "[core][random]") {
  std::set<std::uint64_t> streams;
  const Random base{1, 0};
  for (std::uint64_t use = 0; use < 100; ++use) {
    const Random fork = base.fork(use);
    CHECK(fork.seed == base.seed);
    streams.insert(fork.stream);
    for (std::uint64_t again = 0; again < 10; ++again) {
      streams.insert(fork.fork(again).stream);
    }
  }
  CHECK(streams.size() == 1100);
}

TEST_CASE("uniform draws fill [0, 1)", "[core][random]") {
  const Random r{17, 3};
  const int n = 20000;
  double sum = 0;
  double squares = 0;
  float least = 1;
  float most = 0;
  for (int i = 0; i < n; ++i) {
    const float u = r.uniform(static_cast<std::uint64_t>(i));
    least = std::min(least, u);
    most = std::max(most, u);
    sum += static_cast<double>(u);
    squares += static_cast<double>(u) * static_cast<double>(u);
  }
  CHECK(least >= 0);
  CHECK(least < 0.001f);
  CHECK(most < 1);
  CHECK(most > 0.999f);
  // five standard errors of the mean and of the mean square
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1. / 12 / n));
  CHECK(std::abs(squares / n - 1. / 3) < 5 * std::sqrt(4. / 45 / n));
}

TEST_CASE("normal draws have mean 0, variance 1, no tail missing", "[core][random]") {
  const Random r{17, 4};
  const int n = 20000;
  double sum = 0;
  double squares = 0;
  int beyond = 0;
  for (int i = 0; i < n; ++i) {
    const double x = r.normal(static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
    beyond += std::abs(x) > 2 ? 1 : 0;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2. / n));
  const double p = 0.0455003;  // P(|x| > 2)
  CHECK(std::abs(beyond - n * p) < 5 * std::sqrt(n * p * (1 - p)));
}

}  // namespace
