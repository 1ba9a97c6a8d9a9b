// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// dw[n,k] += sum_m g[m,n] * a[m,k] for one group: columns k are the rows of a tile, the plan rows
/// m its steps, one panel of n its lanes, so that a tile updates the stored panel in place.
template <class S>
struct WeightGradient {
  static constexpr index width = Panels<S>::width;
  static constexpr index column_limit = 384;  ///< columns of one unit of work
  static constexpr index piece = 128;         ///< plan rows of one pass

  Panels<S>& dw;
  S* left;   ///< [column blocks][piece][columns of the block]
  S* right;  ///< [piece][width]

  static Split column_parts(index cols) { return {cols, ceil_div(cols, column_limit)}; }

  /// All rows of the group; panels [panel, panel+panels) of columns [column, column+columns).
  void add(index group, index row, index rows, Rows<S> g, Rows<S> a, index column, index columns,
           index panel, index panels) const {
    const Split blocks{columns, ceil_div(columns, Tile<S>::max_rows)};
    const Split pieces{rows, ceil_div(rows, piece)};
    for (index p = 0; p < pieces.parts; ++p) {
      const index depth = pieces.size(p);
      const index first = row + pieces.begin(p);
      pack_left(blocks, a, first, depth, column);
      for (index n = panel; n < panel + panels; ++n) {
        for (index m = 0; m < depth; ++m) {
          __builtin_memcpy(right + m * width, g.row(first + m) + n * width, sizeof(S) * width);
        }
        S* const to = dw.matrix(group) + (n * dw.cols() + column) * width;
        for (index b = 0; b < blocks.parts; ++b) {
          const index height = blocks.size(b);
          S* const sums = to + blocks.begin(b) * width;
          // The part of dw after the next tile's.
          const index lines = height * width * static_cast<index>(sizeof(S)) / Ahead::line;
          const index share = ceil_div(lines, ceil_div(depth, Ahead::group));
          const Ahead ahead{
              reinterpret_cast<std::uintptr_t>(sums + 2 * height * width), share,
              static_cast<std::uintptr_t>(share * (width / Ahead::group) * Ahead::line)};
          Tile<S>{depth, left + blocks.begin(b) * depth, height * width, right, sums, false, ahead}
              .template run<Left::by_step>(height);
        }
      }
    }
  }

  void pack_left(Split blocks, Rows<S> a, index row, index depth, index column) const {
    for (index b = 0; b < blocks.parts; ++b) {
      const index first = column + blocks.begin(b);
      S* const to = left + blocks.begin(b) * depth;
      const auto copy = [&]<index... height>(std::integer_sequence<index, height...>) {
        (void)((blocks.size(b) == height + 1 &&
                (copy_columns<height + 1>(to, a, row, depth, first), true)) ||
               ...);
      };
      copy(std::make_integer_sequence<index, Tile<S>::max_rows>());
    }
  }

  template <index height>
  static void copy_columns(S* to, Rows<S> a, index row, index depth, index column) {
    for (index m = 0; m < depth; ++m) {
      __builtin_memcpy(to + m * height, a.row(row + m) + column, sizeof(S) * height);
    }
  }
};

template <class S>
void grouped_weight_gradient(const Workers& workers, Workspace& workspace, Groups groups, Rows<S> g,
                             Rows<S> a, Panels<S>& dw) {
  using Product = WeightGradient<S>;
  constexpr index width = Panels<S>::width;
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index piece = groups.rows < Product::piece ? groups.rows : Product::piece;
  const Split parts = Product::column_parts(dw.cols());
  const index most_columns = dw.cols() < Product::column_limit ? dw.cols() : Product::column_limit;
  const index left_size = piece * most_columns;
  S* const left_all = workspace.take<S>(workers.threads() * left_size);
  S* const right_all = workspace.take<S>(workers.threads() * piece * width);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers.threads(), 0, parts.parts * dw.panels(),
           width * ceil_div(dw.cols(), parts.parts));
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    const Product product{dw, left_all + worker * left_size, right_all + worker * piece * width};
    const index panels = dw.panels();
    for (index unit = item.unit; unit < item.unit + item.units;) {
      const index part = unit / panels;
      const index panel = unit % panels;
      const index left = item.unit + item.units - unit;
      const index run = left < panels - panel ? left : panels - panel;
      product.add(item.group, item.row, item.rows, g, a, parts.begin(part), parts.size(part), panel,
                  run);
      unit += run;
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
