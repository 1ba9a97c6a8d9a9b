// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_operand.cuh>

#include "grouped_case.hpp"

namespace {

using namespace tests;
using namespace xmoe::cuda;

// Brings every step's tile of an operand to `to` [steps][lines][numbers of a line].
template <class L, class S>
XMOE_KERNEL void bring_tiles(Operand<S> operand, int steps, S* to) {
  const L loader(operand);
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < L::count; ++i) {
      if (L::active(i)) {
        const auto chunk = loader.fetch(i, step);
        for (int j = 0; j < L::chunk; ++j) {
          const int line = step * L::lines + L::line(i);
          store(to + (line * L::line_chunks + L::chunk_in_line()) * L::chunk + j, chunk.v[j]);
        }
      }
    }
  }
}

template <class L, class S>
std::vector<S> brought(const Operand<S>& operand, int steps) {
  const int numbers = steps * L::total * L::chunk;
  const OnDevice<S> to(std::vector<S>(static_cast<std::size_t>(numbers), S(-77.f)));
  launch(nullptr, bring_tiles<L, S>, Grid{1, 1, 1}, 32, 0, operand, steps, to.data());
  return to.numbers();
}

}  // namespace

TEMPLATE_TEST_CASE("operand: lines along the depth, gathered, in pairs, zero beyond the edges",
                   "[cuda]", float, double, xmoe::half) {
  using S = TestType;
  const int depth = 27;
  const auto x = random_matrix<S>(40, depth, 32, 1);
  const OnDevice<S> data(x.numbers);
  const std::vector<int> rows = {7, 0, 39, 12, 12, 3, 30, 5, 9, 1, 22, 17, 18, 19, 20, 21, 33, 34};
  const OnDevice<int> gather(rows);
  const auto check = [&](auto loader, bool gathered, int pair, int outer) {
    using L = typename decltype(loader)::type;
    const Operand<S> operand{data.data(), 32,  gathered ? gather.data() : nullptr, 2, outer, depth,
                             0,           pair};
    std::vector<double> want;
    for (int step = 0; step < 2; ++step) {
      for (int l = 0; l < 16; ++l) {
        const int within = pair > 0 ? l % 8 : l;
        const int row = 2 + within + (l >= 8 ? pair : 0);
        for (int k = step * 16; k < step * 16 + 16; ++k) {
          const bool inside = within < outer && k < depth;
          want.push_back(inside ? x(gathered ? rows[static_cast<std::size_t>(row)] : row, k) : 0.0);
        }
      }
    }
    require_agreement(brought<L>(operand, 2), want, 0.0);
  };
  for (const int outer : {16, 11, 1}) {
    for (const bool gathered : {false, true}) {
      check(std::type_identity<Loader<S, 16, 16, 32, Along::depth, true, false>>(), gathered, 0,
            outer);
      check(std::type_identity<Loader<S, 16, 16, 32, Along::depth, false, false>>(), gathered, 0,
            outer);
    }
    check(std::type_identity<Loader<S, 16, 16, 32, Along::depth, true, true>>(), false, 20, outer);
    check(std::type_identity<Loader<S, 16, 16, 32, Along::depth, false, true>>(), false, 20, outer);
  }
}

TEMPLATE_TEST_CASE("operand: lines along the output, gathered, zero beyond the edges", "[cuda]",
                   float, double, xmoe::half) {
  using S = TestType;
  const auto x = random_matrix<S>(40, 59, 64, 1);
  const OnDevice<S> data(x.numbers);
  const std::vector<int> rows = {7, 0, 39, 12, 12, 3, 30, 5, 9, 1, 22, 17, 18, 19, 20, 21, 33, 34};
  const OnDevice<int> gather(rows);
  for (const int depth : {16, 13, 0}) {
    for (const int column : {16, 32}) {
      for (const bool gathered : {false, true}) {
        const Operand<S> operand{
            data.data(), 64, gathered ? gather.data() : nullptr, 2, 59 - column, depth, column, 0};
        std::vector<double> want;
        for (int term = 0; term < 16; ++term) {
          for (int j = column; j < column + 32; ++j) {
            const int row = gathered ? rows[static_cast<std::size_t>(2 + term)] : 2 + term;
            want.push_back(term < depth && j < 59 ? x(row, j) : 0.0);
          }
        }
        using Aligned = Loader<S, 32, 8, 32, Along::outer, true, false>;
        using Unaligned = Loader<S, 32, 8, 32, Along::outer, false, false>;
        require_agreement(brought<Aligned>(operand, 2), want, 0.0);
        require_agreement(brought<Unaligned>(operand, 2), want, 0.0);
      }
    }
  }
}
