// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/batch.hpp>

#include <array>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEST_CASE("a batch without mask holds real tokens only", "[core][batch]") {
  const std::array<float, 6> numbers = {1, 2, 3, 4, 5, 6};
  const Batch<float> batch = In<float>(numbers.data(), 3, 2);
  CHECK(batch.x.rows() == 3);
  CHECK(batch.x(2, 1) == 6.f);
  for (xmoe::index t = 0; t < 3; ++t) {
    CHECK(batch.is_valid(t));
  }
}

TEST_CASE("a mask names the tokens that are real", "[core][batch]") {
  const std::array<float, 6> numbers = {};
  const std::array<std::uint8_t, 3> mask = {1, 0, 255};
  const Batch<float> batch(In<float>(numbers.data(), 3, 2), {mask.data(), 3});
  CHECK(batch.is_valid(0));
  CHECK_FALSE(batch.is_valid(1));
  CHECK(batch.is_valid(2));
}

TEST_CASE("a batch is made from anything that a view is made from", "[core][batch]") {
  std::array<float, 6> numbers = {1, 2, 3, 4, 5, 6};
  const MatrixView<float> writable(numbers.data(), 2, 3);
  const Batch<float> batch = writable;
  CHECK(batch.x.data() == numbers.data());
  static_assert(!std::constructible_from<Batch<float>, MatrixView<float, device>>);
  static_assert(!std::constructible_from<Batch<float>, MatrixView<double>>);
}

}  // namespace
