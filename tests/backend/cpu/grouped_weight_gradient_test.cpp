// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/grouped_weight_gradient.hpp>

#include "backend/cpu/product_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using tests::Loads;
using tests::Rounding;
using tests::RowsCase;

template <class S>
Panels<S> product(index threads, const Loads& loads, const RowsCase<S>& g, const RowsCase<S>& a,
                  Panels<S> dw) {
  const cpu::Backend backend(threads);
  tests::on_exact_scratch(
      [&](Workspace& scratch, Groups groups) {
        backend.template grouped_weight_gradient<S>(scratch, groups, g.rows(), a.rows(), dw);
      },
      loads.groups());
  return dw;
}

/// Chains over the plan rows that start from what is there.
template <class S>
Panels<S> chains(Rounding rounding, const Loads& loads, const RowsCase<S>& g, const RowsCase<S>& a,
                 Panels<S> dw) {
  constexpr index width = Panels<S>::width;
  for (index m = 0; m < loads.rows(); ++m) {
    for (index n = 0; n < dw.padded_rows(); ++n) {
      for (index k = 0; k < dw.cols(); ++k) {
        S& w = dw.matrix(loads.group_of(m))[(n / width * dw.cols() + k) * width + n % width];
        w = tests::chain_step(rounding, g.at(m, n), a.at(m, k), w);
      }
    }
  }
  return dw;
}

template <class S>
bool same(const Panels<S>& a, const Panels<S>& b) {
  return tests::same_bits(std::vector<S>(a.values().begin(), a.values().end()),
                          std::vector<S>(b.values().begin(), b.values().end()));
}

TEMPLATE_TEST_CASE("weight gradient: chains in plan order, whatever the cut", "[backend][threads]",
                   float, double) {
  using S = TestType;
  tests::Generator random(1);
  const Loads loads({3, 0, 1, 14, 0, 190, 12});
  for (const bool gathered : {false, true}) {
    for (const index cols : {1, 7, 33, 400}) {
      for (const index rows : {1, 31, 65}) {
        const Panels<S> start = tests::random_panels<S>(random, loads.count(), rows, cols);
        RowsCase<S> g(random, loads.rows(), start.padded_rows(), gathered);
        g.pad(rows);
        const RowsCase<S> a(random, loads.rows(), cols, gathered);
        INFO(rows << " x " << cols << ", gathered " << gathered);
        const Panels<S> one = product(1, loads, g, a, start);
        CHECK(same(one, product(3, loads, g, a, start)));
        const Panels<S> want = chains(Rounding::fused, loads, g, a, start);
        tests::check_close<S>("gradient", tests::wide(one.values()), tests::wide(want.values()),
                              190);
        CHECK((same(one, want) || same(one, chains(Rounding::separate, loads, g, a, start))));
        CHECK_FALSE(same(one, start));
        for (const index idle : {1, 4}) {  // groups without rows are not touched
          CHECK(std::memcmp(one.matrix(idle), start.matrix(idle),
                            sizeof(S) * static_cast<std::size_t>(start.matrix_size())) == 0);
        }
      }
    }
  }
}

TEST_CASE("weight gradient: padding stays zero", "[backend]") {
  tests::Generator random(2);
  const Loads loads({9});
  Panels<float> dw(1, 5, 3);
  RowsCase<float> g(random, 9, dw.padded_rows(), false);
  g.pad(5);
  dw = product(1, loads, g, RowsCase<float>(random, 9, 3, false), dw);
  for (index n = 5; n < dw.padded_rows(); ++n) {
    for (index k = 0; k < 3; ++k) {
      CHECK(dw.matrix(0)[k * Panels<float>::width + n] == 0.f);
    }
  }
}

TEMPLATE_TEST_CASE("weight gradient: a column of ones sums the rows", "[backend]", float, double) {
  using S = TestType;
  tests::Generator random(3);
  const Loads loads({7, 0, 20});
  Panels<S> one(3, 37, 1), zero(3, 37, 1);
  RowsCase<S> g(random, loads.rows(), one.padded_rows(), true);
  g.pad(37);
  const S unit = S(1);
  const cpu::Backend backend(2);
  Workspace scratch(1 << 20);
  backend.template grouped_weight_gradient<S>(scratch, loads.groups(), g.rows(),
                                              Rows<S>{&unit, 0, nullptr}, one);
  reference::Vector want(one.values().begin(), one.values().end());
  std::fill(want.begin(), want.end(), 0.0);
  for (index m = 0; m < loads.rows(); ++m) {
    for (index n = 0; n < 37; ++n) {
      want[static_cast<std::size_t>(loads.group_of(m) * one.matrix_size() + n)] +=
          static_cast<double>(g.at(m, n));
    }
  }
  tests::check_close<S>("sums", tests::wide(one.values()), want, 20);
  CHECK_FALSE(same(one, zero));
}

}  // namespace
}  // namespace xmoe
