// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/panels.hpp>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

template <class S>
std::vector<S> counted(index n) {
  std::vector<S> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), S(1));
  return numbers;
}

template <class S>
index zeros(const Panels<S>& p) {
  return std::count(p.values().begin(), p.values().end(), S(0));
}

TEMPLATE_TEST_CASE("a panel is 128 bytes wide and stored column by column", "[core][panels]", float,
                   double) {
  using S = TestType;
  constexpr index width = Panels<S>::width;
  static_assert(width * static_cast<index>(sizeof(S)) == 128);
  const Panels<S> p(2, width + 3, 5);
  CHECK(p.panels() == 2);
  CHECK(p.padded_rows() == 2 * width);
  CHECK(p.matrix_size() == 2 * width * 5);
  CHECK(p.size() == 2 * (width + 3) * 5);
  CHECK(p.values().size() == 2 * p.matrix_size());
  CHECK(reinterpret_cast<std::uintptr_t>(p.matrix(0)) % alignment == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(p.matrix(1)) % alignment == 0);
  // by hand: matrix 1, row width+2 = panel 1, lane 2
  CHECK(p.offset(1, width + 2, 4) == p.matrix_size() + width * 5 + 4 * width + 2);
  CHECK(&p.at(1, width + 2, 4) == p.values().data() + p.offset(1, width + 2, 4));
}

TEMPLATE_TEST_CASE("load and store are inverses in both orders", "[core][panels]", float, double) {
  using S = TestType;
  for (const index rows : {1, 2, 15, 16, 17, 32, 33, 64}) {
    for (const index cols : {1, 3, 16}) {
      INFO(rows << " x " << cols);
      Panels<S> p(3, rows, cols);
      const std::vector<S> numbers = counted<S>(p.size());
      p.load(numbers);
      CHECK(p.at(0, 0, 0) == S(1));
      CHECK(p.at(2, rows - 1, cols - 1) == S(p.size()));
      CHECK(p.at(1, rows - 1, 0) == S(rows * cols + (rows - 1) * cols + 1));
      std::vector<S> back(numbers.size());
      p.store(back);
      CHECK(back == numbers);
      CHECK(zeros(p) == p.values().size() - p.size());  // padding stays zero

      Panels<S> t(3, rows, cols);
      t.load(numbers, true);
      CHECK(t.at(0, rows - 1, 0) == S(rows));
      CHECK(t.at(1, 0, cols - 1) == S(rows * cols + (cols - 1) * rows + 1));
      t.store(back, true);
      CHECK(back == numbers);
      t.store(back);
      CHECK((back == numbers) == (rows == 1 || cols == 1));
    }
  }
}

TEMPLATE_TEST_CASE("gate and up rows lie in alternating panels", "[core][panels]", float, double) {
  using S = TestType;
  constexpr index width = Panels<S>::width;
  for (const index half : {1, 5, 16, 17, 32, 40}) {
    INFO(half);
    const Panels<S> together(1, 2 * half, 3, RowOrder::gate_up_concatenated);
    const Panels<S> mixed(1, 2 * half, 3, RowOrder::gate_up_interleaved);
    CHECK(together.padded_rows() % (2 * width) == 0);
    std::set<index> seen;
    for (index unit = 0; unit < half; ++unit) {
      const index gate = together.padded_row(unit);
      const index up = together.padded_row(half + unit);
      CHECK(up == gate + width);
      CHECK(gate == 2 * (unit / width) * width + unit % width);
      CHECK(mixed.padded_row(2 * unit) == gate);
      CHECK(mixed.padded_row(2 * unit + 1) == up);
      seen.insert(gate);
      seen.insert(up);
    }
    CHECK(seen.size() == static_cast<std::size_t>(2 * half));
  }
}

TEST_CASE("interleaved and concatenated files give the same weights", "[core][panels]") {
  const index half = 37;
  const index cols = 4;
  const std::vector<float> together = counted<float>(2 * half * cols);
  std::vector<float> mixed(together.size());
  for (index row = 0; row < half; ++row) {
    for (index col = 0; col < cols; ++col) {
      const auto at = [&](index r) { return static_cast<std::size_t>(r * cols + col); };
      mixed[at(2 * row)] = together[at(row)];
      mixed[at(2 * row + 1)] = together[at(half + row)];
    }
  }
  Panels<float> a(1, 2 * half, cols, RowOrder::gate_up_concatenated);
  Panels<float> b(1, 2 * half, cols, RowOrder::gate_up_interleaved);
  a.load(together);
  b.load(mixed);
  CHECK(std::equal(a.values().begin(), a.values().end(), b.values().begin()));
  b.load(together);  // the wrong order is noticed
  CHECK_FALSE(std::equal(a.values().begin(), a.values().end(), b.values().begin()));
}

TEST_CASE("a vector is a matrix with one column", "[core][panels]") {
  Panels<float> bias(2, 33, 1);
  CHECK(bias.padded_rows() == 64);
  bias.at(1, 32) = 5.f;
  CHECK(bias.matrix(1)[32] == 5.f);
}

TEST_CASE("wrong sizes are refused with their numbers", "[core][panels]") {
  CHECK_THROWS_AS(Panels<float>(1, -1, 2), shape_error);
  CHECK_THROWS_WITH(Panels<float>(1, -1, 2), "xmoe::Panels: shape 1 x -1 x 2");
  Panels<float> p(2, 3, 4);
  std::vector<float> numbers(23);
  CHECK_THROWS_AS(p.load(numbers), shape_error);
  CHECK_THROWS_WITH(p.load(numbers), "xmoe::Panels::load: 23 numbers given, 2 x 3 x 4 expected");
  CHECK_THROWS_WITH(p.store(numbers), "xmoe::Panels::store: 23 numbers given, 2 x 3 x 4 expected");
}

TEST_CASE("offsets go beyond 2^31 numbers", "[core][panels]") {
  const Panels<float> shape(0, 70000, 70001);  // no matrix, hence no memory
  const index padded = 70016;
  CHECK(shape.matrix_size() == padded * 70001);
  CHECK(shape.offset(3, 69999, 70000) ==
        3 * padded * 70001 + (69999 / 32) * index(70001) * 32 + index(70000) * 32 + 69999 % 32);
  CHECK(shape.offset(3, 69999, 70000) > (index(1) << 33));
}

TEST_CASE("an empty stack holds nothing", "[core][panels]") {
  Panels<double> none;
  CHECK(none.size() == 0);
  CHECK(none.values().size() == 0);
  Panels<double> p(0, 5, 5);
  p.load({});
  p.zero();
  CHECK(p.values().size() == 0);
}

}  // namespace
