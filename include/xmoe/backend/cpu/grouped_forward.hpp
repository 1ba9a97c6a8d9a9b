// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>
#include <xmoe/backend/cpu/packed_rows.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// sums[rows][width] = packed rows times one panel [cols][width].
///
///   done   (row, rows): called when these rows are ready, while they lie in the first-level cache
template <class S, class Done>
inline void multiply_panel(const PackedRows<S>& a, index cols, const S* panel, S* sums,
                           const Done& done) {
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
    const index lines = depth * width * static_cast<index>(sizeof(S)) / Ahead::line;
    for (index b = 0; b < blocks; ++b) {
      const index height = a.blocks.size(b);
      // One block: run 4 KiB ahead in this piece. Several: each asks for its share of the next.
      const index away = blocks == 1 ? 4096 : (lines + lines * b / blocks) * Ahead::line;
      const index steps = ceil_div(depth, Ahead::group) * blocks;
      const index share = ceil_div(lines, steps);
      const Ahead ahead{reinterpret_cast<std::uintptr_t>(right) + static_cast<std::uintptr_t>(away),
                        share,
                        static_cast<std::uintptr_t>(share * (width / Ahead::group) * Ahead::line)};
      Tile<S>{depth, a.block(b) + k0 * height,         height * width,
              right, sums + a.blocks.begin(b) * width, p == 0,
              ahead}
          .template run<Left::by_row>(height);
      if (p + 1 == pieces.parts) {
        done(a.blocks.begin(b), height);
      }
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
      if constexpr (together == 2) {
        multiply_panel(packed, cols, panel, sums + item.rows * width, [](index, index) {});
        panel += cols * width;
      }
      multiply_panel(packed, cols, panel, sums, [&](index first, index height) {
        for (index r = first; r < first + height; ++r) {
          const S* const row = sums + r * width;
          if constexpr (together == 1) {
            epilogue(item.group, item.row + r, unit * width, row);
          } else {
            epilogue(item.group, item.row + r, unit * width, row + item.rows * width, row);
          }
        }
      });
      panel += cols * width;
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
