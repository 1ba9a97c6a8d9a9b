// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped_forward.hpp>

#include <mutex>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::Loads;
using tests::Rounding;
using tests::RowsCase;

/// All sums [M, padded rows], and how often each (row, panel) was handed out.
template <class S>
struct Sums {
  std::vector<S> values;
  std::vector<int> calls;
};
template <class S>
Sums<S> product(index threads, const Loads& loads, const RowsCase<S>& a, const Panels<S>& w) {
  const cpu::Backend backend(threads);
  constexpr index width = Panels<S>::width;
  Sums<S> r;
  r.values.assign(static_cast<std::size_t>(loads.rows() * w.padded_rows()), S(-77));
  r.calls.assign(static_cast<std::size_t>(loads.rows() * w.panels()), 0);
  std::mutex mutex;
  const auto put = [&](index g, index m, index panel, const S* sums) {
    const std::lock_guard lock(mutex);
    REQUIRE(g == loads.group_of(m));
    ++r.calls[static_cast<std::size_t>(m * w.panels() + panel)];
    std::memcpy(r.values.data() + (m * w.panels() + panel) * width, sums, sizeof(S) * width);
  };
  tests::on_exact_scratch(
      [&](Workspace& scratch, Groups groups) {
        if (w.order() == RowOrder::plain) {
          backend.grouped_forward(scratch, groups, a.rows(), w,
                                  [&](index g, index m, index first, const S* sums) {
                                    put(g, m, first / width, sums);
                                  });
        } else {
          backend.grouped_forward_pair(
              scratch, groups, a.rows(), w,
              [&](index g, index m, index first, const S* gate, const S* up) {
                put(g, m, 2 * (first / width), gate);
                put(g, m, 2 * (first / width) + 1, up);
              });
        }
      },
      loads.groups());
  return r;
}

/// Every sum as one chain in ascending order; bit for bit.
template <class S>
std::vector<S> chains(Rounding rounding, const Loads& loads, const RowsCase<S>& a,
                      const Panels<S>& w) {
  std::vector<S> all;
  for (index m = 0; m < loads.rows(); ++m) {
    const index g = loads.group_of(m);
    for (index n = 0; n < w.padded_rows(); ++n) {
      S sum = S(0);
      for (index k = 0; k < w.cols(); ++k) {
        const index stored =
            (n / Panels<S>::width * w.cols() + k) * Panels<S>::width + n % Panels<S>::width;
        sum = tests::chain_step(rounding, a.at(m, k), w.matrix(g)[stored], sum);
      }
      all.push_back(sum);
    }
  }
  return all;
}

/// All sums are such chains, all in one rounding.
template <class S>
bool is_chain(const std::vector<S>& got, const Loads& loads, const RowsCase<S>& a,
              const Panels<S>& w) {
  return tests::same_bits(got, chains(Rounding::fused, loads, a, w)) ||
         tests::same_bits(got, chains(Rounding::separate, loads, a, w));
}

TEMPLATE_TEST_CASE("grouped forward: chains in order, whatever the cut", "[backend][threads]",
                   float, double) {
  using S = TestType;
  tests::Generator random(1);
  const Loads loads({3, 0, 1, 14, 0, 90, 12});
  for (const bool gathered : {false, true}) {
    for (const index cols : {1, 7, 33, 100}) {
      for (const index rows : {1, 31, 65, 200}) {
        const RowsCase<S> a(random, loads.rows(), cols, gathered);
        const Panels<S> w = tests::random_panels<S>(random, loads.count(), rows, cols);
        INFO(rows << " x " << cols << ", gathered " << gathered);
        const Sums<S> one = product(1, loads, a, w);
        const Sums<S> three = product(3, loads, a, w);
        CHECK(std::count(one.calls.begin(), one.calls.end(), 1) ==
              static_cast<index>(one.calls.size()));
        CHECK(three.calls == one.calls);
        CHECK(tests::same_bits(one.values, three.values));
        const std::vector<S> want = chains(Rounding::fused, loads, a, w);
        tests::check_close<S>("sums", tests::wide(one.values), tests::wide(want), cols);
        CHECK(is_chain(one.values, loads, a, w));
        CHECK_FALSE(is_chain(std::vector<S>(want.rbegin(), want.rend()), loads, a, w));
      }
    }
  }
}

TEMPLATE_TEST_CASE("grouped forward: a long contraction", "[backend]", float, double) {
  using S = TestType;
  tests::Generator random(2);
  const Loads loads({40, 1});
  const RowsCase<S> a(random, loads.rows(), 1700, true);
  const Panels<S> w = tests::random_panels<S>(random, 2, 70, 1700);
  CHECK(is_chain(product(2, loads, a, w).values, loads, a, w));
}

TEMPLATE_TEST_CASE("grouped forward: pairs of gate and up", "[backend][threads]", float, double) {
  using S = TestType;
  tests::Generator random(3);
  const Loads loads({5, 0, 33});
  for (const RowOrder order : {RowOrder::gate_up_concatenated, RowOrder::gate_up_interleaved}) {
    for (const index half : {1, 32, 45}) {
      const RowsCase<S> a(random, loads.rows(), 21, true);
      const Panels<S> w = tests::random_panels<S>(random, 3, 2 * half, 21, order);
      const Sums<S> got = product(2, loads, a, w);
      INFO(half << " pairs");
      CHECK(std::count(got.calls.begin(), got.calls.end(), 1) ==
            static_cast<index>(got.calls.size()));
      CHECK(is_chain(got.values, loads, a, w));
    }
  }
}

TEST_CASE("grouped forward: nothing to do", "[backend]") {
  tests::Generator random(4);
  const Loads empty({0, 0});
  const RowsCase<float> a(random, 0, 5, false);
  CHECK(product(2, empty, a, tests::random_panels<float>(random, 2, 9, 5)).values.empty());
}

}  // namespace
}  // namespace xmoe
