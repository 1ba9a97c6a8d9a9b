// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The rows of one item, copied for the tiles: blocks of rows, in a block
/// [depth/width][rows][width].
template <class S>
struct PackedRows {
  static constexpr index width = Panels<S>::width;

  Split blocks;
  index depth;  ///< rounded up to width
  S* data;

  static index size(index rows, index cols) { return rows * ceil_div(cols, width) * width; }

  S* block(index b) const { return data + blocks.begin(b) * depth; }

  static PackedRows pack(S* to, Rows<S> a, index row, index rows, index cols) {
    const PackedRows packed{{rows, ceil_div(rows, Tile<S>::max_rows)}, size(1, cols), to};
    for (index b = 0; b < packed.blocks.parts; ++b) {
      const index height = packed.blocks.size(b);
      for (index r = 0; r < height; ++r) {
        const S* from = a.row(row + packed.blocks.begin(b) + r);
        S* out = packed.block(b) + r * width;
        index k = 0;
        for (; k + width <= cols; k += width) {
          __builtin_memcpy(out, from + k, sizeof(S) * width);
          out += height * width;
        }
        for (index i = 0; i < cols - k; ++i) {
          out[i] = from[k + i];
        }
      }
    }
    return packed;
  }
};

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
