// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/init.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using expert::Init;

template <class S>
std::vector<S> filled(const Init& init, index count, index rows, index cols, float deviation,
                      index fan_in, bool bias, Random random) {
  Panels<S> stack(count, rows, cols);
  init.fill(stack, deviation, fan_in, bias, random);
  std::vector<S> plain(static_cast<std::size_t>(stack.size()));
  stack.store(plain);
  double padding = 0.0, all = 0.0;
  for (const S v : stack.values()) {
    all += std::abs(static_cast<double>(v));
  }
  for (const S v : plain) {
    padding += std::abs(static_cast<double>(v));
  }
  CHECK(tests::within(all, padding, 1e-9 * all));  // nothing beside the rows
  return plain;
}

struct Moments {
  double mean = 0.0, square = 0.0, fourth = 0.0, largest = 0.0;
};
template <class S>
Moments moments(const std::vector<S>& numbers) {
  Moments m;
  const double n = static_cast<double>(numbers.size());
  for (const S v : numbers) {
    const double u = static_cast<double>(v);
    m.mean += u / n;
    m.square += u * u / n;
    m.fourth += u * u * u * u / n;
    m.largest = std::max(m.largest, std::abs(u));
  }
  return m;
}

TEMPLATE_TEST_CASE("init: a normal start has its deviation", "[expert]", float, double) {
  const index rows = 50, cols = 300;
  const double n = 50.0 * 300.0;
  for (const float deviation : {0.02f, 1.f}) {
    const Moments m = moments(
        filled<TestType>(Init{.copied = false}, 1, rows, cols, deviation, cols, false, {1, 2}));
    const double variance = static_cast<double>(deviation) * static_cast<double>(deviation);
    CAPTURE(deviation, m.mean, m.square, m.fourth);
    CHECK(std::abs(m.mean) < 5.0 * std::sqrt(variance / n));
    CHECK(std::abs(m.square - variance) < 5.0 * variance * std::sqrt(2.0 / n));
    CHECK(std::abs(m.fourth - 3.0 * variance * variance) <
          5.0 * variance * variance * std::sqrt(96.0 / n));
    CHECK(m.largest > 3.0 * static_cast<double>(deviation));
    CHECK_FALSE(std::abs(m.square - 2.0 * variance) < 5.0 * variance * std::sqrt(2.0 / n));  // twin
  }
}

TEST_CASE("init: a uniform start fills its interval, biases too", "[expert]") {
  const Init init{.shape = Init::Shape::uniform_fan_in, .copied = false};
  for (const bool bias : {false, true}) {
    const Moments m = moments(filled<double>(init, 40, 300, 1, 7.f, 25, bias, {1, 2}));
    const double bound = 1.0 / 5.0, n = 40.0 * 300.0;
    CHECK(std::abs(m.mean) < 5.0 * bound / std::sqrt(3.0 * n));
    CHECK(std::abs(m.square - bound * bound / 3.0) <
          5.0 * bound * bound * std::sqrt(4.0 / 45.0 / n));
    CHECK(m.largest <= bound);
    CHECK(m.largest > 0.99 * bound);
  }
}

TEST_CASE("init: normal biases are zero", "[expert]") {
  CHECK(moments(filled<float>(Init{}, 3, 5, 1, 1.f, 5, true, {1, 2})).largest == 0.0);
}

TEST_CASE("init: copied experts are equal, independent ones differ", "[expert]") {
  const index count = 3, rows = 5, cols = 7;
  const auto part = [&](const std::vector<float>& all, index e) {
    return std::vector<float>(all.begin() + e * rows * cols, all.begin() + (e + 1) * rows * cols);
  };
  for (const Init::Shape shape : {Init::Shape::normal, Init::Shape::uniform_fan_in}) {
    const auto copied = filled<float>({shape, true}, count, rows, cols, 1.f, cols, false, {4});
    const auto apart = filled<float>({shape, false}, count, rows, cols, 1.f, cols, false, {4});
    CHECK(part(copied, 0) == part(copied, 1));
    CHECK(part(copied, 0) == part(copied, 2));
    CHECK(part(copied, 0) == part(apart, 0));
    CHECK(part(apart, 0) != part(apart, 1));
    CHECK(part(apart, 1) != part(apart, 2));
    std::vector<float> numbers = part(copied, 0);  // and inside one expert nothing repeats
    std::sort(numbers.begin(), numbers.end());
    CHECK(std::unique(numbers.begin(), numbers.end()) == numbers.end());
  }
}

TEST_CASE("init: a seed is a start", "[expert]") {
  const auto start = [](Random random) {
    return filled<float>(Init{}, 2, 9, 4, 1.f, 4, false, random);
  };
  CHECK(start({7, 1}) == start({7, 1}));
  CHECK(start({7, 1}) != start({8, 1}));
  CHECK(start({7, 1}) != start({7, 2}));
  // The numbers belong to rows and columns, not to the scalar type.
  const auto wide = filled<double>(Init{}, 2, 9, 4, 1.f, 4, false, {7, 1});
  CHECK(start({7, 1}) == tests::narrow<float>(wide));
}

}  // namespace
}  // namespace xmoe
