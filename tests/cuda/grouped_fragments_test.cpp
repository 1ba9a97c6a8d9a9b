// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_kernels.cuh>

#include "support/catch.hpp"

#include <array>
#include <set>

// Which of the 32 banks of 4 bytes the accesses of the main loops fall into.
namespace {

using namespace xmoe::cuda;

// Eight lanes read or write 16 bytes each at a time: without conflict, all 32 banks once.
template <class View>
bool eight_lanes_apart(const std::array<std::array<unsigned, 2>, 8>& places) {
  std::set<unsigned> groups;
  for (const auto& [line, chunk] : places) {
    groups.insert(View::offset(line, chunk) / 16 % 8);
  }
  return groups.size() == 8;
}

// All that the main loop does with a tile of `lines` lines: copies of neighbouring chunks, and
// matrices of eight lines of one chunk.
template <class View>
bool without_conflict(unsigned lines, unsigned chunks) {
  for (unsigned first = 0; first < lines * chunks; first += 8) {
    std::array<std::array<unsigned, 2>, 8> copied{};
    for (unsigned i = 0; i < 8; ++i) {
      copied[i] = {(first + i) / chunks, (first + i) % chunks};
    }
    if (!eight_lanes_apart<View>(copied)) {
      return false;
    }
  }
  for (unsigned line = 0; line < lines; line += 8) {
    for (unsigned chunk = 0; chunk < chunks; ++chunk) {
      std::array<std::array<unsigned, 2>, 8> matrix{};
      for (unsigned i = 0; i < 8; ++i) {
        matrix[i] = {line + i, chunk};
      }
      if (!eight_lanes_apart<View>(matrix)) {
        return false;
      }
    }
  }
  return true;
}

// Reads of 4 bytes: lane l takes line l % 4, number l / 4 of eight.
template <class View>
bool words_without_conflict(unsigned lines, unsigned chunks) {
  for (unsigned line = 0; line < lines; line += 4) {
    for (unsigned outer = 0; outer < chunks * 4; outer += 8) {
      std::set<unsigned> banks;
      for (unsigned lane = 0; lane < 32; ++lane) {
        const unsigned number = outer + lane / 4;
        banks.insert((View::offset(line + lane % 4, number / 4) / 4 + number % 4) % 32);
      }
      if (banks.size() != 32) {
        return false;
      }
    }
  }
  return true;
}

// The same without the permutation.
template <unsigned Chunks>
struct Straight {
  static unsigned offset(unsigned line, unsigned chunk) { return (line * Chunks + chunk) * 16; }
};

template <class S, class Tile>
void check_tile() {
  constexpr unsigned size = sizeof(S);
  constexpr unsigned terms = Tile::depth_bytes / size;
  constexpr unsigned along = Tile::depth_bytes / 16;
  constexpr unsigned rows = Tile::rows * size / 16;
  constexpr unsigned columns = Tile::columns * size / 16;
  STATIC_REQUIRE(Tile::rows % 8 == 0);
  REQUIRE(without_conflict<TileView<S, Along::depth, along>>(Tile::rows, along));
  REQUIRE(without_conflict<TileView<S, Along::depth, along>>(Tile::columns, along));
  if constexpr (size == 2) {
    REQUIRE(without_conflict<TileView<S, Along::outer, rows>>(terms, rows));
    REQUIRE(without_conflict<TileView<S, Along::outer, columns>>(terms, columns));
  } else {
    REQUIRE(words_without_conflict<TileView<S, Along::outer, rows>>(terms, rows));
    REQUIRE(words_without_conflict<TileView<S, Along::outer, columns>>(terms, columns));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("fragments: no bank conflict in any tile", "[cuda]", xmoe::bfloat16, xmoe::half,
                   float) {
  check_tile<TestType, typename Tiles<TensorCore, TestType>::large>();
  check_tile<TestType, typename Tiles<TensorCore, TestType>::small>();
  check_tile<TestType, typename Tiles<TensorCore, TestType>::fused>();
}

TEST_CASE("fragments: without permutation there are conflicts", "[cuda]") {
  REQUIRE_FALSE(without_conflict<Straight<4>>(16, 4));
  REQUIRE_FALSE(without_conflict<Straight<8>>(16, 8));
  REQUIRE_FALSE(words_without_conflict<Straight<32>>(16, 32));
}

TEST_CASE("fragments: chunks keep apart", "[cuda]") {
  std::set<unsigned> offsets;
  for (unsigned line = 0; line < 32; ++line) {
    for (unsigned chunk = 0; chunk < 16; ++chunk) {
      offsets.insert(TileView<xmoe::half, Along::outer, 16>::offset(line, chunk));
      offsets.insert(TileView<float, Along::outer, 16>::offset(line, chunk));
    }
  }
  REQUIRE(offsets.size() == 32 * 16);
  REQUIRE(*offsets.rbegin() == (32 * 16 - 1) * 16);
}
