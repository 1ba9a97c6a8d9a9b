// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The product with the other side of the weights, from the same panels, without transposing them:
/// columns of the weights are the rows of a tile (in a panel they lie ready for it), and the rows of
/// the plan are its lanes. Only the rows are transposed, and the sums on their way out.
template <class S>
struct InputGradient {
  static constexpr index width = Panels<S>::width;
  static constexpr index row_limit = 5 * width;
  /// Panels of one pass. Few: panels are often a power of two apart, and compete for the same sets
  /// of a cache.
  static constexpr index pass = 512 / static_cast<index>(sizeof(S)) / width;
  /// Blocks [width columns][width lanes] of sums that wait between two passes.
  static constexpr index waiting_blocks = 40;

  const Panels<S>& w;
  S* packed;  ///< [lane blocks][padded rows of w][width], lanes = plan rows
  S* sums;    ///< [units][lane blocks][width columns][width lanes]
  S* turned;  ///< [width lanes][width columns]
  index rows;
  index blocks;

  static index blocks_of(index rows) { return ceil_div(rows, width); }
  /// Units of columns whose sums are computed together.
  static index waiting_units(index blocks) {
    return blocks >= waiting_blocks ? 1 : waiting_blocks / blocks;
  }

  void pack(Rows<S> g, index row) const {
    const index depth = w.padded_rows();
    for (index b = 0; b < blocks; ++b) {
      const index first = row + b * width;
      transpose_into(packed + b * depth * width, width, lanes_of(b), depth,
                     [&](index r) { return g.row(first + r); });
    }
  }

  index lanes_of(index block) const {
    const index left = rows - block * width;
    return left < width ? left : width;
  }
  index columns_of(index unit) const {
    const index left = w.cols() - unit * width;
    return left < width ? left : width;
  }

  /// Sums of units [unit, unit+units): a few panels after the other.
  ///
  ///   done   (u, block): called when unit + u is ready for a block of rows
  template <class Done>
  void multiply(const S* matrix, index unit, index units, const Done& done) const {
    const index depth = w.padded_rows();
    const Split pieces{w.panels(), ceil_div(w.panels(), pass)};
    const index panel_size = w.cols() * width;
    for (index p = 0; p < pieces.parts; ++p) {
      for (index u = 0; u < units; ++u) {
        const index columns = columns_of(unit + u);
        const Split heights{columns, ceil_div(columns, Tile<S>::max_rows)};
        for (index h = 0; h < heights.parts; ++h) {
          const index height = heights.size(h);
          const index column = heights.begin(h);
          const S* left =
              matrix + pieces.begin(p) * panel_size + ((unit + u) * width + column) * width;
          for (index b = 0; b < blocks; ++b) {
            // The first block fetches the weights, and the columns that come next.
            const index lines = height * width * static_cast<index>(sizeof(S)) / Ahead::line;
            const Ahead ahead{reinterpret_cast<std::uintptr_t>(left + height * width),
                              b == 0 ? ceil_div(lines, width / Ahead::group) : 0,
                              static_cast<std::uintptr_t>(panel_size) * sizeof(S)};
            Tile<S>{pieces.size(p) * width,
                    left,
                    panel_size,
                    packed + (b * depth + pieces.begin(p) * width) * width,
                    sums + ((u * blocks + b) * width + column) * width,
                    p == 0,
                    ahead}
                .template run<Left::by_row>(height, lanes_of(b));
            if (p + 1 == pieces.parts && h + 1 == heights.parts) {
              done(u, b);
            }
          }
        }
      }
    }
  }

  template <class Epilogue>
  void hand_out(index group, index row, index unit, index u, index b,
                const Epilogue& epilogue) const {
    const index columns = columns_of(unit + u);
    const index lanes = lanes_of(b);
    const S* from = sums + (u * blocks + b) * width * width;
    transpose_into(turned, width, columns, lanes, [&](index r) { return from + r * width; });
    for (index r = 0; r < lanes; ++r) {
      epilogue(group, row + b * width + r, (unit + u) * width, columns,
               static_cast<const S*>(turned + r * width));
    }
  }
};

template <class S, class Epilogue>
void grouped_input_gradient(const Workers& workers, Workspace& workspace, Groups groups, Rows<S> g,
                            const Panels<S>& w, const Epilogue& epilogue) {
  using Product = InputGradient<S>;
  constexpr index width = Panels<S>::width;
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index rows = groups.rows < Product::row_limit ? groups.rows : Product::row_limit;
  const index most_lanes = Product::blocks_of(rows) * width;
  const index units = ceil_div(w.cols(), width);
  const index all_blocks = units * Product::blocks_of(rows);
  const index packed_size = most_lanes * w.padded_rows();
  const index sums_size = width * width * (all_blocks < Product::waiting_blocks
                                               ? all_blocks
                                               : Product::waiting_blocks);
  S* const packed_all = workspace.take<S>(workers.threads() * packed_size);
  S* const sums_all = workspace.take<S>(workers.threads() * sums_size);
  S* const turned_all = workspace.take<S>(workers.threads() * width * width);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers.threads(), Product::row_limit, units, w.padded_rows() * width);
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    const Product product{w,
                          packed_all + worker * packed_size,
                          sums_all + worker * sums_size,
                          turned_all + worker * width * width,
                          item.rows,
                          Product::blocks_of(item.rows)};
    product.pack(g, item.row);
    const Split runs{item.units, ceil_div(item.units, Product::waiting_units(product.blocks))};
    for (index run = 0; run < runs.parts; ++run) {
      const index unit = item.unit + runs.begin(run);
      product.multiply(w.matrix(item.group), unit, runs.size(run), [&](index u, index b) {
        product.hand_out(item.group, item.row, unit, u, b, epilogue);
      });
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
