// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// dw[n,k] (+)= sum_m g[m,n] * a[m,k] for one group: columns k are the rows of a tile, the plan
/// rows m its steps, one panel of n its lanes, so that a tile updates the stored panel in place.
template <class K>
struct WeightGradient {
  using S = typename Arithmetic<K>::Sum;
  using Left = typename Arithmetic<K>::Left;
  static constexpr index width = Panels<K>::width;
  static constexpr index per_step = Panels<K>::per_step;
  static constexpr index column_limit = 384;      ///< columns of one unit of work
  static constexpr index piece = 128 * per_step;  ///< plan rows of one pass

  Panels<S>& dw;
  Left* left;  ///< [column blocks][steps][columns of the block]
  K* right;    ///< [steps][width][per_step]

  static Split column_parts(index cols) { return {cols, ceil_div(cols, column_limit)}; }
  static index steps_of(index rows) { return ceil_div(rows, per_step); }

  /// All rows of the group; panels [panel, panel+panels) of columns [column, column+columns).
  /// `fresh`: the sums start from 0, what is stored is not read.
  void add(index group, index row, index rows, Rows<S> g, Rows<S> a, index column, index columns,
           index panel, index panels, bool fresh) const {
    const Split blocks{columns, ceil_div(columns, Tile<K>::max_rows)};
    const Split pieces{steps_of(rows), ceil_div(rows, piece)};
    for (index p = 0; p < pieces.parts; ++p) {
      const index depth = pieces.size(p);
      const index first = row + pieces.begin(p) * per_step;
      const index end = row + pieces.begin(p + 1) * per_step;
      const index count = (end < row + rows ? end : row + rows) - first;
      pack_left(blocks, a, first, count, depth, column);
      const bool from_zero = fresh && p == 0;
      const bool past_caches = from_zero && pieces.parts == 1 && large();
      for (index n = panel; n < panel + panels; ++n) {
        pack_right(g, first, count, n * width);
        S* const to = dw.matrix(group) + (n * dw.cols() + column) * width;
        for (index b = 0; b < blocks.parts; ++b) {
          const index height = blocks.size(b);
          S* const sums = to + blocks.begin(b) * width;
          // The part of dw after the next tile's.
          const index lines = height * width * static_cast<index>(sizeof(S)) / cache_line;
          const index share = ceil_div(lines, ceil_div(depth, Ahead::group));
          const Ahead ahead{
              reinterpret_cast<std::uintptr_t>(sums + 2 * height * width), from_zero ? 0 : share,
              static_cast<std::uintptr_t>(share * (width / Ahead::group) * cache_line)};
          Tile<K>{depth,          left + blocks.begin(b) * depth,
                  height * width, right,
                  sums,           from_zero,
                  ahead,          past_caches}
              .template run<LeftOrder::by_step>(height);
        }
      }
    }
  }

  /// Gradients that no cache holds until somebody reads them.
  bool large() const {
    return dw.values().size() * static_cast<index>(sizeof(S)) > (index(8) << 20);
  }

  void pack_right(Rows<S> g, index row, index count, index n) const {
    for (index m = 0; m < count; m += per_step) {
      K* const to = right + m * width;
      const S* const from = g.row(row + m) + n;
      if constexpr (per_step == 1) {
        __builtin_memcpy(to, from, sizeof(S) * width);
      } else {
        static constexpr S zeros[static_cast<std::size_t>(width)] = {};
        std::uint32_t pairs[static_cast<std::size_t>(width)];
        Arithmetic<K>::pair(pairs, from, m + 1 < count ? g.row(row + m + 1) + n : zeros, width);
        __builtin_memcpy(to, pairs, sizeof(pairs));
      }
    }
  }

  void pack_left(Split blocks, Rows<S> a, index row, index count, index depth, index column) const {
    for (index b = 0; b < blocks.parts; ++b) {
      const index first = column + blocks.begin(b);
      Left* const to = left + blocks.begin(b) * depth;
      const auto copy = [&]<index... height>(std::integer_sequence<index, height...>) {
        (void)((blocks.size(b) == height + 1 &&
                (copy_columns<height + 1>(to, a, row, count, first), true)) ||
               ...);
      };
      copy(std::make_integer_sequence<index, Tile<K>::max_rows>());
    }
  }

  template <index height>
  static void copy_columns(Left* to, Rows<S> a, index row, index count, index column) {
    for (index m = 0; m < count; m += per_step) {
      const S* const from = a.row(row + m) + column;
      if constexpr (per_step == 1) {
        __builtin_memcpy(to, from, sizeof(S) * height);
      } else {
        static constexpr S zeros[static_cast<std::size_t>(height)] = {};
        const S* const second = m + 1 < count ? a.row(row + m + 1) + column : zeros;
        for (index c = 0; c < height; ++c) {
          to[c] = Arithmetic<K>::pair(from[c], second[c]);
        }
      }
      to += height;
    }
  }
};

template <class K>
void grouped_weight_gradient(const Workers& workers, Workspace& workspace, Groups groups,
                             Rows<sum_type<K>> g, Rows<sum_type<K>> a, Panels<sum_type<K>>& dw,
                             const std::uint8_t* touched) {
  using Product = WeightGradient<K>;
  using Left = typename Product::Left;
  constexpr index width = Panels<K>::width;
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index piece =
      Product::steps_of(groups.rows < Product::piece ? groups.rows : Product::piece);
  const Split parts = Product::column_parts(dw.cols());
  const index most_columns = dw.cols() < Product::column_limit ? dw.cols() : Product::column_limit;
  const index left_size = piece * most_columns;
  const index right_size = piece * Panels<K>::step_size;
  Left* const left_all = workspace.take<Left>(workers.threads() * left_size);
  K* const right_all = workspace.take<K>(workers.threads() * right_size);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers, 1, 0, parts.parts * dw.panels(), width * ceil_div(dw.cols(), parts.parts));
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    const Product product{dw, left_all + worker * left_size, right_all + worker * right_size};
    const index panels = dw.panels();
    const bool fresh = touched != nullptr && touched[item.group] == 0;
    for (index unit = item.unit; unit < item.unit + item.units;) {
      const index part = unit / panels;
      const index panel = unit % panels;
      const index left = item.unit + item.units - unit;
      const index run = left < panels - panel ? left : panels - panel;
      product.add(item.group, item.row(), item.rows(), g, a, parts.begin(part), parts.size(part),
                  panel, run, fresh);
      unit += run;
    }
    if (fresh) {
      Simd<sum_type<K>>::fence();
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
