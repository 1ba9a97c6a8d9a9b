// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/grouped.hpp>
#include <xmoe/backend/cpu/packed_rows.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The arithmetic in which gradients of weights of type W are computed: products of activations.
template <class W>
using gradient_kind = std::conditional_t<std::same_as<W, bfloat16>, W, sum_type<W>>;

/// to[n / per_step][lanes][per_step] = the transpose of up to `width` rows of `depth` numbers.
template <class K, class From>
inline void transpose_steps(K* to, index rows, index depth, const From& from) {
  constexpr index width = Panels<K>::width;
  if constexpr (Panels<K>::per_step == 1) {
    transpose_into(to, width, rows, depth, from);
  } else {
    constexpr index chunk = 2 * width;
    float turned[static_cast<std::size_t>(chunk * width)];
    for (index n = 0; n < depth; n += chunk) {
      const index count = depth - n < chunk ? depth - n : chunk;
      transpose_into(turned, width, rows, count, [&](index r) { return from(r) + n; });
      for (index i = 0; i < count; i += 2) {
        std::uint32_t pairs[static_cast<std::size_t>(width)];
        Arithmetic<K>::pair(pairs, turned + i * width, turned + (i + 1) * width, width);
        __builtin_memcpy(to + (n + i) * width, pairs, sizeof(pairs));
      }
    }
  }
}

/// Every second number of two registers, from number `first` on.
template <int first, class Short, int... i>
[[gnu::always_inline]] inline Short every_second(const Short& a, const Short& b,
                                                 std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, (2 * i + first)...);
}

/// The product with the other side of the weights, from the same panels: columns of the weights are
/// the rows of a tile (in a panel they lie ready for it, or are unpacked where they are narrow),
/// and the rows of the plan are its lanes. Only the rows are transposed, and the sums on their way
/// out.
template <class W>
struct InputGradient {
  using Kind = gradient_kind<W>;
  using S = typename Arithmetic<Kind>::Sum;
  using Left = typename Arithmetic<Kind>::Left;
  static constexpr index width = Panels<W>::width;
  static constexpr index per_step = Panels<Kind>::per_step;
  static constexpr index row_limit = 5 * width;
  /// Weights that do not lie ready.
  static constexpr bool unpacks = NarrowWeight<W>;
  /// Panels of one pass. Few where they are read in place: panels are often a power of two apart,
  /// and compete for the same sets of a cache. Else what 64 KiB hold.
  static constexpr index pass = (unpacks ? 65536 / width / static_cast<index>(sizeof(Kind))
                                         : 1024 / static_cast<index>(sizeof(S))) /
                                width;
  /// Blocks [width columns][width lanes] of sums that wait between two passes.
  static constexpr index waiting_blocks = 40;
  static constexpr index unpacked_size = unpacks ? pass * width * width / per_step : 0;

  const Panels<W>& w;
  Kind* packed;    ///< [lane blocks][padded rows of w / per_step][width][per_step]
  S* sums;         ///< [units][lane blocks][width columns][width lanes]
  S* turned;       ///< [width lanes][width columns]
  Left* unpacked;  ///< [chunks of a pass][width columns][width steps]
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
      transpose_steps(packed + b * depth * width, lanes_of(b), depth,
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

  /// Columns of panels [panel, panel+panels) of one unit, as the left side of a tile.
  void unpack(const W* matrix, index unit, index columns, index panel, index panels) const {
    for (index p = 0; p < panels; ++p) {
      const W* const from = matrix + (panel + p) * w.panel_size() + unit * width * width;
      Left* const to = unpacked + p / per_step * width * width + p % per_step * (width / per_step);
      if constexpr (per_step == 2) {
        typedef std::uint16_t Short __attribute__((vector_size(XMOE_VECTOR_BYTES)));
        using Lanes = std::make_integer_sequence<int, XMOE_VECTOR_BYTES / 2>;
        constexpr index lanes = Simd<std::uint16_t>::lanes;
        for (index k = 0; k < columns; k += 2) {
          for (index n = 0; n < width; n += lanes) {
            Short v[2];
            __builtin_memcpy(v, from + k * width + 2 * n, sizeof(v));
            const Short even = every_second<0>(v[0], v[1], Lanes());
            const Short odd = every_second<1>(v[0], v[1], Lanes());
            __builtin_memcpy(to + k * width + n / 2, &even, sizeof(even));
            if (k + 1 < columns) {
              __builtin_memcpy(to + (k + 1) * width + n / 2, &odd, sizeof(odd));
            }
          }
        }
      } else {
        for (index k = 0; k < columns; ++k) {
          for (index n = 0; n < width; n += Simd<S>::lanes) {
            Simd<S>::store(to + k * width + n, Arithmetic<W>::load(from + k * width + n));
          }
        }
      }
    }
  }

  /// Sums of units [unit, unit+units): a few panels after the other.
  ///
  ///   done   (u, block): called when unit + u is ready for a block of rows
  template <class Done>
  void multiply(const W* matrix, index unit, index units, const Done& done) const {
    const index depth = w.padded_rows();
    const index panel_size = w.panel_size();
    const index count = w.panels();
    const Split pieces{ceil_div(count, per_step), ceil_div(count, pass)};
    for (index p = 0; p < pieces.parts; ++p) {
      const index panel = pieces.begin(p) * per_step;
      const index end = pieces.begin(p + 1) * per_step;
      const index panels = (end < count ? end : count) - panel;
      const index steps = panels * width / per_step;
      std::uintptr_t starts[static_cast<std::size_t>(pass)];
      for (index u = 0; u < units; ++u) {
        const index columns = columns_of(unit + u);
        const W* const after = u + 1 < units
                                   ? matrix + panel * panel_size + (unit + u + 1) * width * width
                                   : matrix + end * panel_size + unit * width * width;
        if constexpr (unpacks) {
          unpack(matrix, unit + u, columns, panel, panels);
        }
        const Split heights{columns, ceil_div(columns, Tile<Kind>::max_rows)};
        for (index h = 0; h < heights.parts; ++h) {
          const index height = heights.size(h);
          const index column = heights.begin(h);
          const W* const stored =
              matrix + panel * panel_size + ((unit + u) * width + column) * width;
          const Left* left = nullptr;
          if constexpr (unpacks) {
            left = unpacked + column * width;
          } else {
            left = stored;
          }
          for (index b = 0; b < blocks; ++b) {
            // The first block fetches what comes next: these columns of the next unit where a unit
            // is unpacked at a time, else the columns after these.
            const index bytes = height * width * static_cast<index>(sizeof(W));
            Ahead ahead;
            if (unpacks && b == 0) {
              for (index i = 0; i < panels; ++i) {
                starts[i] =
                    reinterpret_cast<std::uintptr_t>(after + i * panel_size + column * width);
              }
              ahead.trail = Trail::share(starts, panels, bytes, 0, 1);
              ahead.trail.lines = ceil_div(ahead.trail.total, ceil_div(steps, Ahead::group));
            } else if (b == 0) {
              ahead.from = reinterpret_cast<std::uintptr_t>(stored + height * width);
              ahead.lines = ceil_div(ceil_div(bytes, cache_line), width / Ahead::group);
              ahead.chunk = static_cast<std::uintptr_t>(panel_size) * sizeof(W);
            }
            Tile<Kind>{steps,
                       left,
                       unpacks ? width * width : panel_size,
                       packed + (b * depth + panel * width) * width,
                       sums + ((u * blocks + b) * width + column) * width,
                       p == 0,
                       ahead}
                .template run<LeftOrder::by_row>(height, lanes_of(b));
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

  /// All of one item; `packed` and `sums` have room for it.
  template <class Epilogue>
  static void product(Rows<S> g, const Panels<S>& w, const WorkList::Item& item, S* packed, S* sums,
                      const Epilogue& epilogue) {
    const index row = item.row();
    const index rows = item.rows();
    const index first = item.unit * width;
    const index last = first + item.units * width;
    const index columns = (last < w.cols() ? last : w.cols()) - first;
    const index stride = item.units * width;
    PackedRows<S>{packed, PackedRows<S>::depth_of(w.padded_rows()), row}.pack(row, rows, g,
                                                                              w.padded_rows());
    FewRows{packed, w.matrix(item.group) + first * width, w.panels(), w.panel_size(), columns, sums,
            stride}
        .run(rows);
    for (index r = 0; r < rows; ++r) {
      for (index k = 0; k < columns; k += width) {
        epilogue(item.group, row + r, first + k, columns - k < width ? columns - k : width,
                 static_cast<const S*>(sums + r * stride + k));
      }
    }
  }

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

template <class W, class Epilogue>
void grouped_input_gradient(const Workers& workers, Workspace& workspace, Groups groups,
                            Rows<sum_type<W>> g, const Panels<W>& w, const Epilogue& epilogue) {
  using Product = InputGradient<W>;
  using S = sum_type<W>;
  using Kind = typename Product::Kind;
  using Left = typename Product::Left;
  constexpr index width = Panels<W>::width;
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index rows = groups.rows < Product::row_limit ? groups.rows : Product::row_limit;
  const index few = rows < FewRows<S>::most ? rows : FewRows<S>::most;
  const index units = ceil_div(w.cols(), width);
  const index all_blocks = units * Product::blocks_of(rows);
  const index packed_size = Product::blocks_of(rows) * width * w.padded_rows();
  const index block_sums =
      width * width * (all_blocks < Product::waiting_blocks ? all_blocks : Product::waiting_blocks);
  const index few_sums = few * units * width;
  const index sums_size = block_sums < few_sums ? few_sums : block_sums;
  const index threads = workers.threads();
  Kind* const packed_all = workspace.take<Kind>(threads * packed_size);
  S* const sums_all = workspace.take<S>(threads * sums_size);
  S* const turned_all = workspace.take<S>(threads * width * width);
  Left* const unpacked_all = workspace.take<Left>(threads * Product::unpacked_size);
  if (workspace.measuring()) {
    return;
  }
  list.cut(workers, 1, Product::row_limit, units, w.padded_rows() * width);
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    const index row = item.row();
    S* const sums = sums_all + worker * sums_size;
    Kind* const packed = packed_all + worker * packed_size;
    if constexpr (!Product::unpacks) {
      if (item.rows() <= FewRows<S>::most) {
        FewRows<S>::product(g, w, item, packed, sums, epilogue);
        return;
      }
    }
    const Product product{w,
                          packed,
                          sums,
                          turned_all + worker * width * width,
                          unpacked_all + worker * Product::unpacked_size,
                          item.rows(),
                          Product::blocks_of(item.rows())};
    product.pack(g, row);
    const Split runs{item.units, ceil_div(item.units, Product::waiting_units(product.blocks))};
    for (index run = 0; run < runs.parts; ++run) {
      const index unit = item.unit + runs.begin(run);
      product.multiply(w.matrix(item.group), unit, runs.size(run), [&](index u, index b) {
        product.hand_out(item.group, row, unit, u, b, epilogue);
      });
    }
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
