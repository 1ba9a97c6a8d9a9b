// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

/// A row of a plan and the block that it is computed in.
struct PlanRow {
  index row;
  index block;   ///< first row of the block
  index height;  ///< rows of the block

  constexpr operator index() const { return row; }  // NOLINT(google-explicit-constructor)
};

/// Rows as the left side of products with weights W: blocks of at most Tile::max_rows rows of one
/// group, in a block chunks of `width` steps, [chunks][rows][width].
template <class W>
struct PackedRows {
  using Left = typename Arithmetic<W>::Left;
  using Sum = typename Arithmetic<W>::Sum;
  static constexpr index width = Panels<W>::width;
  static constexpr index per_step = Panels<W>::per_step;

  Left* data = nullptr;
  index depth = 0;   ///< steps of a row, rounded up to width
  index origin = 0;  ///< plan row at data

  static index depth_of(index cols) { return ceil_div(ceil_div(cols, per_step), width) * width; }
  static PackedRows take(Workspace& workspace, index rows, index cols, index origin = 0) {
    const index depth = depth_of(cols);
    return {workspace.take<Left>(rows * depth), depth, origin};
  }

  index row_bytes() const { return depth * static_cast<index>(sizeof(Left)); }
  Left* block(index first) const { return data + (first - origin) * depth; }

  /// Writes `width` numbers of a row, columns [col, col + width), col a multiple of width.
  void store(const PlanRow& place, index col, const Sum* numbers) const {
    const index step = col / per_step;
    Left* const to = block(place.block) + step / width * place.height * width +
                     (place.row - place.block) * width + step % width;
    Arithmetic<W>::pack(to, numbers, width);
  }

  /// Copies the rows [first, first+height) of `a` as one block.
  void pack(index first, index height, Rows<Sum> a, index cols) const {
    constexpr index chunk = width * per_step;
    for (index r = 0; r < height; ++r) {
      const Sum* const from = a.row(first + r);
      Left* to = block(first) + r * width;
      index k = 0;
      for (; k + chunk <= cols; k += chunk) {
        Arithmetic<W>::pack(to, from + k, chunk);
        to += height * width;
      }
      Arithmetic<W>::pack(to, from + k, cols - k);
    }
  }
};

/// A run of rows that one tile computes.
template <class W>
struct Strip {
  const typename Arithmetic<W>::Left* left;
  index chunk;   ///< distance of the chunks of `left`
  index row;     ///< place among the rows of the product
  index height;  ///< rows
  index first;   ///< plan row of the first one
};

}  // namespace xmoe::inline XMOE_ABI::cpu
