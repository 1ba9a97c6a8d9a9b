// SPDX-License-Identifier: Apache-2.0
// Products with weights of 16 bits that are cut into pieces, pairs of gate and up, and gradients
// that are overwritten.
#include <xmoe/backend/cpu/backend.hpp>

#include "narrow/narrow_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::Loads;
using tests::Problem;
using tests::same_bits;

std::vector<float> stored(const Panels<float>& p) { return {p.values().begin(), p.values().end()}; }
/// One float of a row changed.
std::vector<float> changed(std::vector<float> values) {
  values[values.size() / 2] += 1.f;
  return values;
}

TEMPLATE_TEST_CASE("narrow products: a long contraction", "[backend][narrow][threads]", bfloat16,
                   half) {
  using W = TestType;
  const Loads loads({0, 150, 1});
  const Problem<W> p(1, loads, 290, 1701, true);
  const auto sums = tests::run_forward(1, loads, p.a.rows(), p.w);
  const auto want = tests::true_forward(loads, p.a.rows(), p.w);
  tests::check_close<float>("sums", tests::wide(sums), want, 1701);
  const double allowed = tests::tolerance<float>(1701, tests::magnitude(want));
  CHECK_FALSE(tests::difference(tests::wide(changed(sums)), want, allowed).close);
  CHECK(same_bits(sums, tests::run_forward(2, loads, p.a.rows(), p.w)));
  for (const index m : {0, 77, 149, 150}) {  // alone: in one piece
    const tests::Subset alone(loads, p.a.rows(), {m});
    CHECK(same_bits(tests::run_forward(1, alone.loads, alone.of(p.a.rows()), p.w),
                    tests::rows_of(sums, {m}, 290)));
  }
  const auto s = p.by_place(tests::Generator(2));
  CHECK(same_bits(tests::run_combine(1, loads, p.a.rows(), p.w, s),
                  tests::run_combine(8, loads, p.a.rows(), p.w, s)));
}

TEMPLATE_TEST_CASE("narrow products: a long way back", "[backend][narrow][threads]", bfloat16,
                   half) {
  using W = TestType;
  const Loads loads({1, 0, 170});
  const index length = 1100;  // two passes of bfloat16, three of half
  const Problem<W> p(3, loads, length, 70, false);
  const auto sums = tests::run_input_gradient(1, loads, p.g.rows(), p.w);
  const auto want = tests::true_input_gradient(loads, p.g.rows(), p.w);
  tests::check_close<float>("sums", tests::wide(sums), want, length);
  const double allowed = tests::tolerance<float>(length, tests::magnitude(want));
  CHECK_FALSE(tests::difference(tests::wide(changed(sums)), want, allowed).close);
  CHECK(same_bits(sums, tests::run_input_gradient(3, loads, p.g.rows(), p.w)));
  for (const index m : {0, 1, 100, 170}) {
    const tests::Subset alone(loads, p.g.rows(), {m});
    CHECK(same_bits(tests::run_input_gradient(1, alone.loads, alone.of(p.g.rows()), p.w),
                    tests::rows_of(sums, {m}, 70)));
  }
}

TEMPLATE_TEST_CASE("narrow products: pairs of gate and up", "[backend][narrow][threads]", bfloat16,
                   half) {
  using W = TestType;
  std::uint64_t seed = 10;
  const Loads loads({5, 0, 33, 1, 0, 160});
  for (const RowOrder order : {RowOrder::gate_up_concatenated, RowOrder::gate_up_interleaved}) {
    for (const index half_rows : {1, 31, 32, 33, 45, 64}) {
      for (const index cols : {1, 2, 33, 64}) {
        const Problem<W> p(++seed, loads, 2 * half_rows, cols, cols % 2 == 0, order);
        const Panels<W> wrong = tests::mistaken(p.w, cols == 33);
        INFO(half_rows << " pairs, " << cols << " columns, order " << static_cast<int>(order));
        const auto sums = tests::run_forward(1, loads, p.a.rows(), p.w);
        tests::check_sums(sums, tests::true_forward(loads, p.a.rows(), p.w),
                          tests::true_forward(loads, p.a.rows(), wrong), cols);
        CHECK(same_bits(sums, tests::run_forward(3, loads, p.a.rows(), p.w)));
        const auto back = tests::run_input_gradient(1, loads, p.g.rows(), p.w);
        tests::check_sums(back, tests::true_input_gradient(loads, p.g.rows(), p.w),
                          tests::true_input_gradient(loads, p.g.rows(), wrong), 2 * half_rows);
        CHECK(same_bits(back, tests::run_input_gradient(3, loads, p.g.rows(), p.w)));
        const tests::Subset few(loads, p.a.rows(), {4, 7, 38, 120});
        const auto some = tests::run_forward(1, few.loads, few.of(p.a.rows()), p.w);
        CHECK(same_bits(some, tests::rows_of(sums, {4, 7, 38, 120}, 2 * half_rows)));
      }
    }
  }
}

TEMPLATE_TEST_CASE("narrow products: an untouched gradient is overwritten unread",
                   "[backend][narrow][threads]", bfloat16, half) {
  using W = TestType;
  const Loads loads({4, 0, 300, 7});
  const Problem<W> p(5, loads, 70, 45, true);
  const std::vector<std::uint8_t> touched = {0, 0, 0, 1};
  Panels<float> start = p.zero();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const index g : {0, 1, 2}) {
    std::fill_n(start.matrix(g), start.matrix_size(), nan);
  }
  for (const index threads : {1, 3}) {
    const auto got = tests::run_weight_gradient<W>(threads, loads, p.g.rows(), p.a.rows(), start,
                                                   touched.data());
    const auto want = tests::run_weight_gradient<W>(1, loads, p.g.rows(), p.a.rows(), p.zero());
    for (const index g : {0, 2, 3}) {
      CHECK(std::memcmp(got.matrix(g), want.matrix(g),
                        static_cast<std::size_t>(want.matrix_size()) * sizeof(float)) == 0);
    }
    CHECK(std::isnan(got.at(1, 0, 0)));  // no rows: left alone
  }
}

TEMPLATE_TEST_CASE("narrow products: gradients larger than the caches",
                   "[backend][narrow][threads]", bfloat16, half) {
  using W = TestType;
  const Loads loads({5, 0, 8});
  const Problem<W> p(6, loads, 1000, 740, false);
  REQUIRE(p.zero().values().size() * 4 > (index(8) << 20));
  const std::vector<std::uint8_t> untouched(3, 0);
  const auto want = tests::run_weight_gradient<W>(1, loads, p.g.rows(), p.a.rows(), p.zero());
  for (const index threads : {1, 2}) {
    const auto got = tests::run_weight_gradient<W>(threads, loads, p.g.rows(), p.a.rows(), p.zero(),
                                                   untouched.data());
    CHECK(same_bits(stored(got), stored(want)));
    CHECK_FALSE(same_bits(changed(stored(got)), stored(want)));
  }
}

TEST_CASE("narrow products: activations are rounded for bfloat16, and only for it",
          "[backend][narrow]") {
  const Loads loads({40});
  const Problem<bfloat16> p(7, loads, 33, 64, false);
  const auto unrounded = [&](const auto& w) {
    Panels<float> wide(w.count(), w.rows(), w.cols());
    wide.zip(w, [](float& to, auto from) { to = static_cast<float>(from); });
    return tests::true_forward(loads, p.a.rows(), wide);
  };
  const auto close = [](const std::vector<float>& got, const reference::Vector& want) {
    const double allowed = tests::tolerance<float>(64, tests::magnitude(want));
    return tests::difference(tests::wide(got), want, allowed).close;
  };
  Panels<half> other(1, 33, 64);
  other.zip(p.w, [](half& to, bfloat16 from) { to = half(static_cast<float>(from)); });
  CHECK_FALSE(close(tests::run_forward(1, loads, p.a.rows(), p.w), unrounded(p.w)));
  CHECK(close(tests::run_forward(1, loads, p.a.rows(), other), unrounded(other)));
}

TEMPLATE_TEST_CASE("narrow products: nothing to do", "[backend][narrow]", bfloat16, half) {
  using W = TestType;
  const Loads empty({0, 0});
  const Problem<W> p(8, empty, 9, 5, false);
  CHECK(tests::run_forward(2, empty, p.a.rows(), p.w).empty());
  CHECK(tests::run_input_gradient(2, empty, p.g.rows(), p.w).empty());
  auto s = p.by_place(tests::Generator(1));
  s.tokens = 3;  // tokens without rows: zeros
  CHECK(tests::run_combine(2, empty, p.a.rows(), p.w, s) == std::vector<float>(27, 0.f));
}

}  // namespace
}  // namespace xmoe
