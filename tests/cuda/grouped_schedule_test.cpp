// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_schedule.cuh>

#include "grouped_case.hpp"

#include <algorithm>

namespace {

using namespace tests;
using namespace xmoe::cuda;

// Writes down which tile every number of the list is: expert, first row, rows, column.
template <class = void>
XMOE_KERNEL void list_tiles(const int* offsets, int experts, int tile_rows, int column_tiles,
                            int room, int* list) {
  Schedule schedule(offsets, experts, tile_rows, column_tiles);
  TileAt at;
  for (int tile = static_cast<int>(blockIdx.x); schedule.find(tile, at);
       tile += static_cast<int>(gridDim.x)) {
    if (threadIdx.x == 0 && tile < room) {
      store(list + 4 * tile, at.expert);
      store(list + 4 * tile + 1, at.begin);
      store(list + 4 * tile + 2, at.rows);
      store(list + 4 * tile + 3, at.column);
    }
  }
}

struct Listed {
  int expert, begin, rows, column;
  auto operator<=>(const Listed&) const = default;
};

std::vector<Listed> listed(const std::vector<int>& loads, int tile_rows, int column_tiles,
                           unsigned blocks, int room) {
  const Plan plan(loads, 70);
  const OnDevice<int> list(std::vector<int>(static_cast<std::size_t>(4 * room), -1));
  launch(nullptr, list_tiles<>, Grid{blocks, 1, 1}, 32, 0, plan.device_offsets.data(), plan.experts,
         tile_rows, column_tiles, room, list.data());
  const auto numbers = list.numbers();
  std::vector<Listed> result;
  for (std::size_t i = 0; i < numbers.size(); i += 4) {
    result.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]});
  }
  return result;
}

}  // namespace

TEST_CASE("schedule: every tile once, whatever the loads and the number of blocks", "[cuda]") {
  std::vector<int> sparse(100, 0);
  sparse[31] = 5;
  sparse[32] = 40;
  sparse[64] = 3;
  sparse[99] = 17;
  std::vector<int> even(70, 9);
  for (const auto& loads : std::vector<std::vector<int>>{{0, 1, 31, 32, 33, 65},
                                                         {300, 0},
                                                         {0},
                                                         {0, 0, 1},
                                                         sparse,
                                                         even,
                                                         std::vector<int>(32, 4),
                                                         std::vector<int>(33, 4),
                                                         std::vector<int>(64, 0)}) {
    for (const int column_tiles : {1, 3}) {
      for (const unsigned blocks : {1u, 3u, 64u}) {
        CAPTURE(loads, column_tiles, blocks);
        std::vector<Listed> want;
        int begin = 0;
        for (std::size_t e = 0; e < loads.size(); ++e) {
          for (int row = 0; row < loads[e]; row += 16) {
            for (int column = 0; column < column_tiles; ++column) {
              want.push_back({static_cast<int>(e), begin + row, loads[e] - row, column});
            }
          }
          begin += loads[e];
        }
        const int room = static_cast<int>(want.size()) + 4;
        REQUIRE(static_cast<int>(want.size()) <=
                most_row_tiles(begin, static_cast<int>(loads.size()), 16) * column_tiles);
        auto got = listed(loads, 16, column_tiles, blocks, room);
        for (std::size_t i = want.size(); i < got.size(); ++i) {
          REQUIRE(got[i] == Listed{-1, -1, -1, -1});  // nothing beyond the last tile
        }
        got.resize(want.size());
        std::sort(want.begin(), want.end());
        std::sort(got.begin(), got.end());
        REQUIRE(got == want);
        if (!got.empty()) {
          got.back().rows += 1;
          REQUIRE(got != want);
        }
      }
    }
  }
}

TEST_CASE("schedule: a band of rows goes by column first", "[cuda]") {
  const auto tiles = listed({160}, 16, 2, 1, 20);
  for (int i = 0; i < 20; ++i) {
    const int row = i < 16 ? i % 8 : 8 + (i - 16) % 2;
    const int column = i < 16 ? i / 8 : (i - 16) / 2;
    REQUIRE(tiles[static_cast<std::size_t>(i)] == Listed{0, 16 * row, 160 - 16 * row, column});
  }
}
