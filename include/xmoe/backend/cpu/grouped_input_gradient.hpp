// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>
#include <xmoe/backend/cpu/packed_rows.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The product with the other side of the weights, from the same panels, without transposing them:
/// columns of the weights are the rows of a tile (in a panel they lie ready for it), and the rows
/// of the plan are its lanes. Only the rows are transposed, and the sums on their way out.
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

/// The same for a handful of rows: too few to fill the lanes, so the weights are turned in
/// registers, one block of lanes x lanes after the other, and each panel is read once from front to
/// back.
template <class S>
struct FewRows {
  static constexpr index width = Panels<S>::width;
  static constexpr index lanes = Simd<S>::lanes;
  static constexpr index most = Tile<S>::max_rows < 8 ? Tile<S>::max_rows : 8;

  const S* left;    ///< [panels][rows][width]
  const S* matrix;  ///< at the first panel and column
  index panels;
  index panel_size;
  index columns;
  S* sums;  ///< [rows][stride]
  index stride;

  void run(index rows) const {
    const auto call = [&]<int... r>(std::integer_sequence<int, r...>) {
      (void)((rows == r + 1 && (compute<r + 1>(), true)) || ...);
    };
    call(std::make_integer_sequence<int, static_cast<int>(most)>());
  }

 private:
  template <int rows>
  [[gnu::noinline]] void compute() const {
    using Vector = typename Simd<S>::Vector;
    constexpr std::uintptr_t away = 2 * static_cast<std::uintptr_t>(lanes * width) * sizeof(S);
    for (index p = 0; p < panels; ++p) {
      const S* const panel = matrix + p * panel_size;
      for (index k = 0; k < columns; k += lanes) {
        const index height = columns - k < lanes ? columns - k : lanes;
        Vector sum[std::size_t(rows)];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          sum[r] = p == 0 ? Vector{} : Simd<S>::load(sums + r * stride + k);
        }
        for (index n = 0; n < width; n += lanes) {
          const S* const block = panel + k * width + n;
          // The order of these reads hides their direction from the memory's own prefetcher: ask
          // for the block after the next.
          const auto ahead = reinterpret_cast<std::uintptr_t>(block) + away;
#pragma GCC unroll 16
          for (index i = 0; i < lanes; ++i) {
            __builtin_prefetch(reinterpret_cast<const void*>(
                                   ahead + static_cast<std::uintptr_t>(i * width) * sizeof(S)),
                               0, 3);
          }
          Vector v[Simd<S>::count];
          if (height == lanes) {
#pragma GCC unroll 16
            for (index i = 0; i < lanes; ++i) {
              v[i] = Simd<S>::load(block + i * width);
            }
          } else {
            for (index i = 0; i < lanes; ++i) {
              v[i] = i < height ? Simd<S>::load(block + i * width) : Vector{};
            }
          }
          Simd<S>::transpose(v);
          const S* const a = left + p * rows * width + n;
#pragma GCC unroll 16
          for (index i = 0; i < lanes; ++i) {
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) {
              sum[r] += a[r * width + i] * v[i];
            }
          }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
          Simd<S>::store(sums + r * stride + k, sum[r]);
        }
      }
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
  const index few = rows < FewRows<S>::most ? rows : FewRows<S>::most;
  const index most_lanes = Product::blocks_of(rows) * width;
  const index units = ceil_div(w.cols(), width);
  const index all_blocks = units * Product::blocks_of(rows);
  const index packed_size = most_lanes * w.padded_rows();
  const index block_sums =
      width * width * (all_blocks < Product::waiting_blocks ? all_blocks : Product::waiting_blocks);
  const index few_sums = few * units * width;
  const index sums_size = block_sums < few_sums ? few_sums : block_sums;
  S* const packed_all = workspace.take<S>(workers.threads() * packed_size);
  S* const sums_all = workspace.take<S>(workers.threads() * sums_size);
  S* const turned_all = workspace.take<S>(workers.threads() * width * width);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers.threads(), Product::row_limit, units, w.padded_rows() * width);
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    if (item.rows <= FewRows<S>::most) {
      S* const sums = sums_all + worker * sums_size;
      const auto packed = PackedRows<S>::pack(packed_all + worker * packed_size, g, item.row,
                                              item.rows, w.padded_rows());
      const index first = item.unit * width;
      const index last = first + item.units * width;
      const index columns = (last < w.cols() ? last : w.cols()) - first;
      const index stride = item.units * width;
      FewRows<S>{packed.data, w.matrix(item.group) + first * width,
                 w.panels(),  w.cols() * width,
                 columns,     sums,
                 stride}
          .run(item.rows);
      for (index r = 0; r < item.rows; ++r) {
        for (index k = 0; k < columns; k += width) {
          epilogue(item.group, item.row + r, first + k, columns - k < width ? columns - k : width,
                   static_cast<const S*>(sums + r * stride + k));
        }
      }
      return;
    }
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
