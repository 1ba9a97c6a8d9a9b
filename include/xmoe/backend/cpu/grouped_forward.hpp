// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The rows of one item, copied for the tiles: blocks of rows, in a block [depth/width][rows][width].
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

/// sums[rows][width] = packed rows times one panel [cols][width].
template <class S>
inline void multiply_panel(const PackedRows<S>& a, index cols, const S* panel, S* sums) {
  constexpr index width = Panels<S>::width;
  // A piece of the panel that the second-level cache holds beside the next one and the rows.
  constexpr index piece = 768;
  const Split pieces{ceil_div(cols, width), ceil_div(cols, piece)};
  const index blocks = a.blocks.parts;
  for (index p = 0; p < pieces.parts; ++p) {
    const index k0 = pieces.begin(p) * width;
    const index k1 = pieces.begin(p + 1) * width;
    const index depth = (k1 < cols ? k1 : cols) - k0;
    const S* right = panel + k0 * width;
    const auto bytes = static_cast<std::uintptr_t>(depth * width) * sizeof(S);
    for (index b = 0; b < blocks; ++b) {
      const index height = a.blocks.size(b);
      // One block: run 4 KiB ahead in this piece. Several: each asks for its share of the next.
      Ahead ahead{reinterpret_cast<std::uintptr_t>(right), 0, 0};
      if (blocks == 1) {
        ahead.from += 4096;
        ahead.step = 128;
      } else {
        ahead.from += bytes + bytes * static_cast<std::uintptr_t>(b) / static_cast<std::uintptr_t>(blocks);
        ahead.step = 128 / static_cast<std::uintptr_t>(blocks);
      }
      ahead.chunk = ahead.step * width;
      Tile<S>{depth,
              a.block(b) + k0 * height,
              height * width,
              right,
              sums + a.blocks.begin(b) * width,
              p == 0,
              ahead}
          .template run<Left::by_row>(height);
    }
  }
}

/// `together` panels at a time: 1, or 2 for pairs of gate and up.
template <index together, class S, class Epilogue>
void grouped_forward(const Workers& workers, Workspace& workspace, Groups groups, Rows<S> a,
                     const Panels<S>& w, const Epilogue& epilogue) {
  constexpr index width = Panels<S>::width;
  constexpr index row_limit = 12 * Tile<S>::max_rows;
  const index cols = w.cols();
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index rows = groups.rows < row_limit ? groups.rows : row_limit;
  const index packed_size = PackedRows<S>::size(rows, cols);
  const index sums_size = together * rows * width;
  S* const packed_all = workspace.take<S>(workers.threads() * packed_size);
  S* const sums_all = workspace.take<S>(workers.threads() * sums_size);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers.threads(), row_limit, w.panels() / together, cols * width * together);
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    S* const sums = sums_all + worker * sums_size;
    const auto packed =
        PackedRows<S>::pack(packed_all + worker * packed_size, a, item.row, item.rows, cols);
    const S* panel = w.matrix(item.group) + item.unit * together * cols * width;
    for (index unit = item.unit; unit < item.unit + item.units; ++unit) {
      for (index i = 0; i < together; ++i) {
        multiply_panel(packed, cols, panel, sums + i * item.rows * width);
        panel += cols * width;
      }
      for (index r = 0; r < item.rows; ++r) {
        const S* first = sums + r * width;
        if constexpr (together == 1) {
          epilogue(item.group, item.row + r, unit * width, first);
        } else {
          epilogue(item.group, item.row + r, unit * width, first, first + item.rows * width);
        }
      }
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
