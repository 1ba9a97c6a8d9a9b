// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// One piece of a grouped product: which expert, which of its rows, which columns of the output.
struct TileAt {
  int expert = 0;
  int begin = 0;   ///< first plan row of the tile
  int rows = 0;    ///< rows of the expert from there on; may be more than the tile has
  int column = 0;  ///< index of the tile of columns
};

/// The list of all tiles of a product grouped by rows, walked on the device: only the device knows
/// the offsets. Tiles are numbered by expert; within an expert in bands of `band` row tiles, and in
/// a band by column, then row, so that neighbours in the list share weights and then rows. Every
/// warp walks for itself, 32 experts at a time, one a lane; experts without rows have no tiles.
///
///   in      offsets [E+1]; tile_rows; column_tiles
///   cost    five shuffles for 32 experts, four and a ballot for a tile
class Schedule {
 public:
  static constexpr int band = 8;

  XMOE_DEVICE Schedule(const int* offsets, int experts, int tile_rows, int column_tiles)
      : offsets_(offsets), experts_(experts), tile_rows_(tile_rows), column_tiles_(column_tiles) {
    look(0);
  }

  /// Finds tile number `tile`; numbers ascend from call to call. False: there are not so many. All
  /// lanes of a warp call together.
  XMOE_DEVICE bool find(int tile, TileAt& at) {
    while (tile - base_ >= window_total_) {
      base_ += window_total_;
      window_ += 32;
      if (window_ >= experts_) {
        window_total_ = 0;
        window_ -= 32;
        return false;
      }
      look(window_);
    }
    const int local = tile - base_;
    const int lane = __popc(__ballot_sync(full, through_ <= local));
    const int rows = __shfl_sync(full, rows_, lane);
    const int begin = __shfl_sync(full, begin_, lane);
    const int through = __shfl_sync(full, through_, lane);
    const int row_tiles = detail::ceil_div(rows, tile_rows_);
    const int index = local - (through - row_tiles * column_tiles_);
    const int above = index / (band * column_tiles_) * band;
    const int height = row_tiles - above < band ? row_tiles - above : band;
    const int inside = index - above * column_tiles_;
    const int row = (above + inside % height) * tile_rows_;
    at = {window_ + lane, begin + row, rows - row, inside / height};
    return true;
  }

 private:
  static constexpr unsigned full = 0xffffffffu;

  // Loads the offsets of 32 experts from `first` on, one a lane.
  XMOE_DEVICE void look(int first) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const bool exists = first + lane < experts_;
    begin_ = exists ? load<int>(offsets_ + first + lane) : 0;
    rows_ = exists ? load<int>(offsets_ + first + lane + 1) - begin_ : 0;
    through_ = detail::ceil_div(rows_, tile_rows_) * column_tiles_;
    XMOE_UNROLL
    for (int distance = 1; distance < 32; distance *= 2) {
      const int below = __shfl_up_sync(full, through_, static_cast<unsigned>(distance));
      through_ += lane >= distance ? below : 0;
    }
    window_total_ = __shfl_sync(full, through_, 31);
  }

  const int* offsets_;
  int experts_, tile_rows_, column_tiles_;
  int window_ = 0;                          // first expert of the lanes
  int base_ = 0;                            // tiles before it
  int window_total_ = 0;                    // tiles of the 32
  int begin_ = 0, rows_ = 0, through_ = 0;  // of the lane's expert; tiles up to and with it
};

/// Most tiles that `rows` rows in `experts` groups can make, for one tile of columns.
constexpr int most_row_tiles(int rows, int experts, int tile_rows) {
  return rows / tile_rows + (experts < rows ? experts : rows);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
