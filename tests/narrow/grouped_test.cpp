// SPDX-License-Identifier: Apache-2.0
// All grouped products with weights of 16 bits: against true sums over the rounded numbers, and bit
// for bit whatever the threads and the rows beside.
#include <xmoe/backend/cpu/backend.hpp>

#include "narrow/narrow_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::Loads;
using tests::Problem;
using tests::same_bits;
using tests::Subset;

const std::vector<index> edges = {1, 2, 31, 32, 33, 63, 64, 65, 130};
const Loads all_loads({3, 0, 1, 14, 0, 190, 12});

std::vector<float> plain(const Panels<float>& p) {
  std::vector<float> numbers(static_cast<std::size_t>(p.size()));
  p.store(numbers);
  return numbers;
}
std::vector<float> stored(const Panels<float>& p) { return {p.values().begin(), p.values().end()}; }

/// All sums of the tokens from the sums of the rows.
template <class W>
reference::Vector true_combine(const Loads& loads, Rows<float> a, const Panels<W>& w,
                               const tests::Summing<float>& s) {
  const reference::Vector rows = tests::true_forward(loads, a, w);
  reference::Vector out(static_cast<std::size_t>(s.tokens * w.rows()), 0.0);
  for (index m = 0; m < loads.rows(); ++m) {
    const auto i = static_cast<std::size_t>(m);
    for (index n = 0; n < w.rows(); ++n) {
      out[static_cast<std::size_t>(s.token[i] * w.rows() + n)] +=
          static_cast<double>(s.weight[i]) * (rows[static_cast<std::size_t>(m * w.rows() + n)] +
                                              static_cast<double>(s.bias.at(loads.group_of(m), n)));
    }
  }
  return out;
}

TEMPLATE_TEST_CASE("narrow products: true sums at all edges", "[backend][narrow][threads]",
                   bfloat16, half) {
  using W = TestType;
  std::uint64_t seed = 0;
  for (const index rows : edges) {
    for (const index cols : edges) {
      ++seed;
      const Problem<W> p(seed, all_loads, rows, cols, seed % 2 == 0);
      const Panels<W> wrong = tests::mistaken(p.w, seed % 3 == 0);
      INFO(rows << " x " << cols << ", seed " << seed);
      const auto sums = tests::run_forward(1, p.loads, p.a.rows(), p.w);
      tests::check_sums(sums, tests::true_forward(p.loads, p.a.rows(), p.w),
                        tests::true_forward(p.loads, p.a.rows(), wrong), cols);
      CHECK(same_bits(sums, tests::run_forward(3, p.loads, p.a.rows(), p.w)));

      const auto back = tests::run_input_gradient(1, p.loads, p.g.rows(), p.w);
      tests::check_sums(back, tests::true_input_gradient(p.loads, p.g.rows(), p.w),
                        tests::true_input_gradient(p.loads, p.g.rows(), wrong), rows);
      CHECK(same_bits(back, tests::run_input_gradient(3, p.loads, p.g.rows(), p.w)));

      const auto s = p.by_place(tests::Generator(seed));
      const auto out = tests::run_combine(1, p.loads, p.a.rows(), p.w, s);
      tests::check_sums(out, true_combine(p.loads, p.a.rows(), p.w, s),
                        true_combine(p.loads, p.a.rows(), wrong, s), cols + 6);
      CHECK(same_bits(out, tests::run_combine(3, p.loads, p.a.rows(), p.w, s)));
    }
  }
}

TEMPLATE_TEST_CASE("narrow products: gradients of the weights", "[backend][narrow][threads]",
                   bfloat16, half) {
  using W = TestType;
  std::uint64_t seed = 100;
  for (const index rows : edges) {
    for (const index cols : edges) {
      ++seed;
      const Problem<W> p(seed, all_loads, rows, cols, seed % 2 == 0);
      tests::Generator random(seed);
      const auto start = tests::random_panels<float>(random, 7, rows, cols);
      INFO(rows << " x " << cols << ", seed " << seed);
      const auto one = tests::run_weight_gradient<W>(1, p.loads, p.g.rows(), p.a.rows(), start);
      const auto want = tests::true_weight_gradient<W>(p.loads, p.g.rows(), p.a.rows(), start);
      auto twin = want;  // two neighbours swapped in the group with most rows
      const auto last = static_cast<std::size_t>((5 * rows + rows) * cols - 1);
      std::swap(twin[last], twin[cols > 1 ? last - 1 : last - static_cast<std::size_t>(cols)]);
      tests::check_sums(plain(one), want, twin, 190);
      const auto three = tests::run_weight_gradient<W>(3, p.loads, p.g.rows(), p.a.rows(), start);
      CHECK(same_bits(stored(one), stored(three)));
      for (const index idle : {1, 4}) {  // groups without rows are not touched
        CHECK(std::memcmp(one.matrix(idle), start.matrix(idle),
                          sizeof(float) * static_cast<std::size_t>(start.matrix_size())) == 0);
      }
    }
  }
}

TEMPLATE_TEST_CASE("narrow products: any number of threads, any neighbours",
                   "[backend][narrow][threads]", bfloat16, half) {
  using W = TestType;
  for (const bool gathered : {false, true}) {
    const Problem<W> p(7, all_loads, 130, 65, gathered);
    const auto s = p.by_place(tests::Generator(8));
    tests::Summing<float> apart = s;  // a token a row
    apart.tokens = p.loads.rows();
    for (index m = 0; m < p.loads.rows(); ++m) {
      apart.token[static_cast<std::size_t>(m)] = static_cast<std::int32_t>(m);
    }
    const auto sums = tests::run_forward(1, p.loads, p.a.rows(), p.w);
    const auto back = tests::run_input_gradient(1, p.loads, p.g.rows(), p.w);
    const auto out = tests::run_combine(1, p.loads, p.a.rows(), p.w, s);
    const auto rows_out = tests::run_combine(1, p.loads, p.a.rows(), p.w, apart);
    const auto dw = tests::run_weight_gradient<W>(1, p.loads, p.g.rows(), p.a.rows(), p.zero());
    for (const index threads : {2, 3, 8}) {
      INFO(threads << " threads");
      CHECK(same_bits(sums, tests::run_forward(threads, p.loads, p.a.rows(), p.w)));
      CHECK(same_bits(back, tests::run_input_gradient(threads, p.loads, p.g.rows(), p.w)));
      CHECK(same_bits(out, tests::run_combine(threads, p.loads, p.a.rows(), p.w, s)));
      CHECK(same_bits(stored(dw), stored(tests::run_weight_gradient<W>(threads, p.loads, p.g.rows(),
                                                                       p.a.rows(), p.zero()))));
    }
    for (const std::vector<index>& picked : std::vector<std::vector<index>>{
             {0},
             {3},
             {17},
             {18},
             {100},
             {219},
             {1, 2},
             {4, 30, 31},
             {0, 17, 207, 208},
             {20, 40, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 210}}) {
      INFO(picked.size() << " rows of " << p.loads.rows() << ", the first " << picked[0]);
      const Subset a(p.loads, p.a.rows(), picked), g(p.loads, p.g.rows(), picked);
      CHECK(same_bits(tests::run_forward(2, a.loads, a.of(p.a.rows()), p.w),
                      tests::rows_of(sums, picked, 130)));
      CHECK(same_bits(tests::run_input_gradient(2, g.loads, g.of(p.g.rows()), p.w),
                      tests::rows_of(back, picked, 65)));
      tests::Summing<float> some{static_cast<index>(picked.size()), {}, {}, s.bias};
      for (const index m : picked) {
        some.token.push_back(static_cast<std::int32_t>(some.token.size()));
        some.weight.push_back(s.weight[static_cast<std::size_t>(m)]);
      }
      CHECK(same_bits(tests::run_combine(2, a.loads, a.of(p.a.rows()), p.w, some),
                      tests::rows_of(rows_out, picked, 130)));
    }
  }
}

}  // namespace
}  // namespace xmoe
