// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped_input_gradient.hpp>

#include <mutex>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::Loads;
using tests::Rounding;
using tests::RowsCase;

/// All sums [M, cols], and how often each was handed out.
template <class S>
std::pair<std::vector<S>, std::vector<int>> product(index threads, const Loads& loads,
                                                    const RowsCase<S>& g, const Panels<S>& w) {
  const cpu::Backend backend(threads);
  std::vector<S> values(static_cast<std::size_t>(loads.rows() * w.cols()), S(-77));
  std::vector<int> calls(values.size(), 0);
  std::mutex mutex;
  tests::on_exact_scratch(
      [&](Workspace& scratch, Groups groups) {
        backend.grouped_input_gradient(
            scratch, groups, g.rows(), w,
            [&](index group, index m, index first, index count, const S* sums) {
              const std::lock_guard lock(mutex);
              REQUIRE(group == loads.group_of(m));
              REQUIRE(count <= Panels<S>::width);
              for (index k = 0; k < count; ++k) {
                const auto i = static_cast<std::size_t>(m * w.cols() + first + k);
                values[i] = sums[k];
                ++calls[i];
              }
            });
      },
      loads.groups());
  return {values, calls};
}

/// Chains over the stored rows, in ascending order.
template <class S>
std::vector<S> chains(Rounding rounding, const Loads& loads, const RowsCase<S>& g,
                      const Panels<S>& w) {
  std::vector<S> all;
  for (index m = 0; m < loads.rows(); ++m) {
    for (index k = 0; k < w.cols(); ++k) {
      S sum = S(0);
      for (index n = 0; n < w.padded_rows(); ++n) {
        const index stored =
            (n / Panels<S>::width * w.cols() + k) * Panels<S>::width + n % Panels<S>::width;
        sum = tests::chain_step(rounding, g.at(m, n), w.matrix(loads.group_of(m))[stored], sum);
      }
      all.push_back(sum);
    }
  }
  return all;
}

TEMPLATE_TEST_CASE("input gradient: chains in order, whatever the cut", "[backend][threads]", float,
                   double) {
  using S = TestType;
  tests::Generator random(1);
  const Loads loads({3, 0, 1, 14, 0, 90, 12});
  for (const bool gathered : {false, true}) {
    for (const index cols : {1, 7, 33, 100}) {
      for (const index rows : {1, 31, 65, 200, 300}) {  // 300: two passes
        const Panels<S> w = tests::random_panels<S>(random, loads.count(), rows, cols);
        RowsCase<S> g(random, loads.rows(), w.padded_rows(), gathered);
        g.pad(rows);
        INFO(rows << " x " << cols << ", gathered " << gathered);
        const auto one = product(1, loads, g, w);
        const auto three = product(3, loads, g, w);
        CHECK(one.second == std::vector<int>(one.second.size(), 1));
        CHECK(three.second == one.second);
        CHECK(tests::same_bits(one.first, three.first));
        const std::vector<S> want = chains(Rounding::fused, loads, g, w);
        tests::check_close<S>("sums", tests::wide(one.first), tests::wide(want), rows);
        CHECK((tests::same_bits(one.first, want) ||
               tests::same_bits(one.first, chains(Rounding::separate, loads, g, w))));
        CHECK_FALSE(tests::same_bits(one.first, std::vector<S>(want.rbegin(), want.rend())));
      }
    }
  }
}

TEMPLATE_TEST_CASE("input gradient: a row's sums do not see its neighbours", "[backend]", float,
                   double) {
  using S = TestType;
  tests::Generator random(2);
  const index rows = 70, cols = 45;
  const Panels<S> w = tests::random_panels<S>(random, 1, rows, cols);
  RowsCase<S> g(random, 130, w.padded_rows(), false);
  g.pad(rows);
  const std::vector<S> all = product(2, Loads({130}), g, w).first;
  for (const index count : {1, 2, 5, 12, 13, 31, 64}) {  // fewer rows: other tiles, same bits
    const std::vector<S> some = product(1, Loads({count}), g, w).first;
    INFO(count << " rows");
    CHECK(tests::same_bits(some, std::vector<S>(all.begin(), all.begin() + count * cols)));
  }
}

TEST_CASE("input gradient: nothing to do", "[backend]") {
  tests::Generator random(3);
  const RowsCase<float> g(random, 0, 32, false);
  CHECK(product(2, Loads({0, 0}), g, tests::random_panels<float>(random, 2, 9, 5)).first.empty());
}

}  // namespace
}  // namespace xmoe
