// SPDX-License-Identifier: Apache-2.0
// Panels of 16-bit weights: layout, conversion on the way in and out, beside float panels.
#include <xmoe/core/panels.hpp>

#include <algorithm>
#include <set>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

/// Whole numbers that both formats hold exactly, none of them zero.
std::vector<float> counted(index n) {
  std::vector<float> numbers;
  for (index i = 0; i < n; ++i) {
    numbers.push_back(static_cast<float>(i % 251 + 1));
  }
  return numbers;
}
template <class W>
std::vector<W> narrowed(const std::vector<float>& numbers) {
  std::vector<W> result;
  for (const float v : numbers) {
    result.push_back(W(v));
  }
  return result;
}
template <class W>
bool equal(const Panels<W>& a, const Panels<W>& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin(), b.values().end());
}
/// Stored numbers whose bits are not all zero.
template <class W>
index not_zero(const Panels<W>& p) {
  return p.values().size() - std::count(p.values().begin(), p.values().end(), W());
}

TEST_CASE("bfloat16 panels hold pairs of columns", "[core][panels][narrow]") {
  using P = Panels<bfloat16>;
  static_assert(P::width == 32 && P::per_step == 2 && P::step_size == 64);
  const P p(2, 35, 5);
  CHECK(p.panels() == 2);
  CHECK(p.padded_rows() == 64);
  CHECK(p.steps() == 3);
  CHECK(p.panel_size() == 3 * 64);
  CHECK(p.matrix_size() == 2 * 3 * 64);
  CHECK(p.size() == 2 * 35 * 5);
  CHECK(p.values().size() == 2 * p.matrix_size());
  // by hand: matrix, panel, step, row of the panel, place in the pair
  CHECK(p.offset(0, 0, 1) == 1);
  CHECK(p.offset(0, 1, 0) == 2);
  CHECK(p.offset(0, 33, 3) == 192 + 64 + 2 * 1 + 1);
  CHECK(p.offset(1, 34, 4) == 384 + 192 + 2 * 64 + 2 * 2);
  CHECK(&p.at(1, 34, 4) == p.values().data() + p.offset(1, 34, 4));
  CHECK(p.matrix(1) == p.values().data() + 384);
  CHECK(reinterpret_cast<std::uintptr_t>(p.matrix(1)) % alignment == 0);
  CHECK(P(1, 32, 6).steps() == 3);
  CHECK(P(1, 32, 1).panel_size() == 64);
}

TEST_CASE("half panels are cut like float panels", "[core][panels][narrow]") {
  using P = Panels<half>;
  static_assert(P::width == 32 && P::per_step == 1 && P::step_size == 32);
  const P p(2, 35, 5);
  const Panels<float> wide(2, 35, 5);
  CHECK(p.panels() == 2);
  CHECK(p.steps() == 5);
  CHECK(p.panel_size() == 5 * 32);
  CHECK(p.matrix_size() == wide.matrix_size());
  CHECK(p.offset(1, 34, 4) == 320 + 160 + 4 * 32 + 2);
  CHECK(p.offset(1, 34, 4) == wide.offset(1, 34, 4));
  CHECK(reinterpret_cast<std::uintptr_t>(p.matrix(1)) % alignment == 0);
}

TEMPLATE_TEST_CASE("narrow panels: every number has a place of its own", "[core][panels][narrow]",
                   bfloat16, half) {
  for (const index rows : {1, 31, 32, 33, 64, 65}) {
    for (const index cols : {1, 2, 3, 16, 31}) {
      const Panels<TestType> p(3, rows, cols);
      std::set<index> seen;
      for (index i = 0; i < 3; ++i) {
        for (index row = 0; row < rows; ++row) {
          for (index col = 0; col < cols; ++col) {
            seen.insert(p.offset(i, row, col));
          }
        }
      }
      INFO(rows << " x " << cols);
      CHECK(static_cast<index>(seen.size()) == p.size());
      CHECK(*seen.begin() == 0);
      CHECK(*seen.rbegin() < p.values().size());
    }
  }
}

TEMPLATE_TEST_CASE("narrow panels: load and store, float and narrow, both orders",
                   "[core][panels][narrow]", bfloat16, half) {
  using W = TestType;
  for (const index rows : {1, 2, 31, 32, 33, 64}) {
    for (const index cols : {1, 2, 3, 16, 17}) {
      INFO(rows << " x " << cols);
      Panels<W> p(3, rows, cols);
      const std::vector<float> numbers = counted(p.size());
      for (const bool transposed : {false, true}) {
        const auto at = [&](index i, index row, index col) {
          return numbers[static_cast<std::size_t>(transposed ? (i * cols + col) * rows + row
                                                             : (i * rows + row) * cols + col)];
        };
        p.zero();
        p.load(numbers, transposed);
        CHECK(p.at(0, 0, 0) == W(1.f));
        CHECK(p.at(2, rows - 1, cols - 1) == W(at(2, rows - 1, cols - 1)));
        CHECK(p.at(1, rows - 1, 0) == W(at(1, rows - 1, 0)));
        CHECK(p.at(1, 0, cols - 1) == W(at(1, 0, cols - 1)));
        CHECK(not_zero(p) == p.size());  // padding stays zero, odd columns' too
        Panels<W> from_narrow(3, rows, cols);
        from_narrow.load(narrowed<W>(numbers), transposed);
        CHECK(equal(p, from_narrow));
        std::vector<float> back(numbers.size());
        std::vector<W> narrow(numbers.size());
        p.store(back, transposed);
        p.store(narrow, transposed);
        CHECK(back == numbers);
        CHECK(narrow == narrowed<W>(numbers));
        p.store(back, !transposed);
        CHECK((back == numbers) == (rows == 1 || cols == 1));
      }
    }
  }
}

TEMPLATE_TEST_CASE("narrow panels: floats are rounded", "[core][panels][narrow]", bfloat16, half) {
  using W = TestType;
  const std::vector<float> numbers = {0.1f, -3.14159f, 1e30f, -0.f, 1e-30f, 1.0019f};
  Panels<W> p(1, 2, 3);
  p.load(numbers);
  std::vector<float> back(6);
  std::vector<W> bits(6);
  p.store(back);
  p.store(bits);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(bits[i] == W(numbers[i]));
    CHECK(back[i] == static_cast<float>(W(numbers[i])));
  }
  CHECK(back != numbers);
  Panels<W> again(1, 2, 3);
  again.load(back);  // a second time nothing changes
  CHECK(equal(p, again));
}

TEMPLATE_TEST_CASE("narrow panels: gate and up rows lie in alternating panels",
                   "[core][panels][narrow]", bfloat16, half) {
  using W = TestType;
  for (const index half_rows : {1, 5, 31, 32, 33, 45}) {
    const index cols = 5;
    INFO(half_rows);
    Panels<W> together(2, 2 * half_rows, cols, RowOrder::gate_up_concatenated);
    Panels<W> mixed(2, 2 * half_rows, cols, RowOrder::gate_up_interleaved);
    const std::vector<float> numbers = counted(together.size());
    std::vector<float> other(numbers.size());
    for (index i = 0; i < 2; ++i) {
      for (index row = 0; row < half_rows; ++row) {
        CHECK(together.padded_row(half_rows + row) == together.padded_row(row) + 32);
        for (index col = 0; col < cols; ++col) {
          const auto at = [&](index r) {
            return static_cast<std::size_t>((i * 2 * half_rows + r) * cols + col);
          };
          other[at(2 * row)] = numbers[at(row)];
          other[at(2 * row + 1)] = numbers[at(half_rows + row)];
          CHECK(together.offset(i, row, col) == mixed.offset(i, 2 * row, col));
        }
      }
    }
    together.load(numbers);
    mixed.load(other);
    CHECK(equal(together, mixed));
    CHECK(not_zero(together) == together.size());
    mixed.load(numbers);  // the wrong order is noticed
    CHECK(equal(together, mixed) == (half_rows == 1));
  }
}

TEMPLATE_TEST_CASE("narrow panels: zip pairs equal rows and columns", "[core][panels][narrow]",
                   bfloat16, half) {
  using W = TestType;
  for (const RowOrder order : {RowOrder::plain, RowOrder::gate_up_concatenated}) {
    for (const index cols : {1, 2, 7, 16}) {
      INFO("order " << static_cast<int>(order) << ", " << cols << " columns");
      Panels<W> narrow(3, 70, cols, order);
      Panels<float> wide(3, 70, cols, order);
      const std::vector<float> numbers = counted(narrow.size());
      std::vector<float> back(numbers.size());
      narrow.load(numbers);
      index calls = 0;
      const Panels<W>& source = narrow;
      wide.zip(source, [&](float& to, const W& from) {
        to = static_cast<float>(from);
        ++calls;
      });
      wide.store(back);
      CHECK(back == numbers);
      CHECK(calls == 3 * narrow.padded_rows() * cols);
      CHECK(not_zero(wide) == wide.size());
      narrow.zip(wide, [](W& to, float from) { to = W(2.f * from); });
      narrow.store(back);
      CHECK(back[0] == 2.f);
      CHECK(back.back() == 2.f * numbers.back());
      CHECK(not_zero(narrow) == narrow.size());
      Panels<bfloat16> pairs(3, 70, cols, order);
      pairs.zip(narrow, [](bfloat16& to, W from) { to = bfloat16(static_cast<float>(from)); });
      std::vector<float> again(numbers.size());
      pairs.store(again);
      CHECK(again == back);
    }
  }
}

TEMPLATE_TEST_CASE("narrow panels: wrong sizes are refused with their numbers",
                   "[core][panels][narrow]", bfloat16, half) {
  using W = TestType;
  Panels<W> p(2, 3, 4);
  std::vector<float> numbers(23);
  std::vector<W> narrow(25);
  CHECK_THROWS_AS(p.load(numbers), shape_error);
  CHECK_THROWS_WITH(p.load(numbers), "xmoe::Panels::load: 23 numbers given, 2 x 3 x 4 expected");
  CHECK_THROWS_WITH(p.load(narrow), "xmoe::Panels::load: 25 numbers given, 2 x 3 x 4 expected");
  CHECK_THROWS_WITH(p.store(numbers), "xmoe::Panels::store: 23 numbers given, 2 x 3 x 4 expected");
  CHECK_THROWS_WITH(p.store(narrow), "xmoe::Panels::store: 25 numbers given, 2 x 3 x 4 expected");
  CHECK_THROWS_WITH(Panels<W>(1, 2, -3), "xmoe::Panels: shape 1 x 2 x -3");
  Panels<float> other(2, 3, 5);
  const auto nothing = [](auto&, auto&) {};
  CHECK_THROWS_AS(p.zip(other, nothing), shape_error);
  CHECK_THROWS_WITH(p.zip(other, nothing),
                    "xmoe::Panels::zip: 2 x 3 x 4 with 2 x 3 x 5, or another row order");
  Panels<float> pairs(2, 4, 4, RowOrder::gate_up_concatenated), plain(2, 4, 4);
  CHECK_THROWS_AS(pairs.zip(plain, nothing), shape_error);
  Panels<W> none(0, 3, 4);
  none.load(std::vector<float>{});
  CHECK(none.values().size() == 0);
}

}  // namespace
