// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_simt.cuh>

#include "grouped_case.hpp"

#include <set>

namespace {

using namespace tests;
using namespace xmoe::cuda;

template <class S, class Tile>
std::vector<S> product(const Plan& plan, const Bank<S>& bank, const Matrix<S>& x) {
  using E = SimtEngine<S, Tile, Along::depth, Along::depth, true, false>;
  const OnDevice<S> rows(x.numbers);
  const OnDevice<S> out(std::vector<S>(static_cast<std::size_t>(plan.rows * bank.rows), S(-77.f)));
  const RowsArguments<S> arguments{plan.device_offsets.data(),
                                   plan.experts,
                                   rows.data(),
                                   x.stride,
                                   plan.device_token.data(),
                                   bank.device.data(),
                                   bank.view().matrix(),
                                   bank.ld,
                                   bank.rows,
                                   bank.cols};
  xmoe::cuda::detail::launch_rows<E>(nullptr, plan.groups(), arguments,
                                     Store<S>{epilogue_rows(out.data(), bank.rows)});
  return out.numbers();
}

template <class S, class... Tile>
void check() {
  const Plan plan({0, 1, 33, 20}, 40);
  const Bank<S> bank(4, 70, 37, 1);
  const auto x = random_matrix<S>(40, 37, 40, 2);
  std::vector<S> want;  // one chain in ascending k: the plain loop, multiply-adds fused or not
  for (int m = 0; m < plan.rows; ++m) {
    for (int j = 0; j < 70; ++j) {
      S sum = S(0);
      for (int k = 0; k < 37; ++k) {
        sum += static_cast<S>(x(plan.token[static_cast<std::size_t>(m)], k)) *
               static_cast<S>(bank(plan.expert[static_cast<std::size_t>(m)], j, k));
      }
      want.push_back(sum);
    }
  }
  // the products are exact, so fusing changes nothing; the other order would change bits
  std::vector<S> backwards;
  for (int m = 0; m < plan.rows; ++m) {
    for (int j = 0; j < 70; ++j) {
      S sum = S(0);
      for (int k = 36; k >= 0; --k) {
        sum += static_cast<S>(x(plan.token[static_cast<std::size_t>(m)], k)) *
               static_cast<S>(bank(plan.expert[static_cast<std::size_t>(m)], j, k));
      }
      backwards.push_back(sum);
    }
  }
  REQUIRE(backwards != want);
  (require_same_bits(product<S, Tile>(plan, bank, x), want), ...);
}

// Stores of one step of an operand Along::depth, transposed: the banks of 32 lanes (16 for double).
template <class S, class E>
bool stores_apart() {
  constexpr unsigned line_chunks = static_cast<unsigned>(E::tile::depth / chunk_of<S>);
  constexpr unsigned lanes = 128 / sizeof(S);
  std::set<unsigned> banks;
  for (unsigned lane = 0; lane < lanes; ++lane) {
    const unsigned term = lane % line_chunks * static_cast<unsigned>(chunk_of<S>);
    banks.insert((term * static_cast<unsigned>(E::a_pitch) + lane / line_chunks) % lanes);
  }
  return banks.size() == lanes;
}

}  // namespace

TEST_CASE("simt engine: the bits of a plain loop in any tile", "[cuda]") {
  check<float, SimtTile<128, 64, 8, 16, 8, 3>, SimtTile<32, 128, 8, 8, 16, 4>,
        SimtTile<16, 64, 8, 8, 8, 1>, SimtTile<64, 128, 16, 8, 16, 1>>();
  check<double, SimtTile<64, 64, 8, 16, 16, 2>, SimtTile<32, 64, 8, 16, 16, 2>,
        SimtTile<16, 64, 8, 4, 16, 1>>();
}

TEST_CASE("simt engine: the transposing stores meet no bank twice", "[cuda]") {
  constexpr Along depth = Along::depth;
  REQUIRE(stores_apart<float,
                       SimtEngine<float, Tiles<Simt, float>::large, depth, depth, true, false>>());
  REQUIRE(stores_apart<float,
                       SimtEngine<float, Tiles<Simt, float>::small, depth, depth, true, false>>());
  REQUIRE(
      stores_apart<double,
                   SimtEngine<double, Tiles<Simt, double>::large, depth, depth, true, false>>());
  REQUIRE(
      stores_apart<double,
                   SimtEngine<double, Tiles<Simt, double>::small, depth, depth, true, false>>());
}
