// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/arithmetic.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

inline constexpr index cache_line = 64;  ///< bytes

/// Rows that are read later on, in any places of memory: what of them a tile asks for, line by
/// line.
struct Trail {
  const std::uintptr_t* rows = nullptr;  ///< starts of the rows after the one at `from`
  std::uintptr_t from = 0;
  std::uintptr_t end = 0;    ///< of the row at `from`
  std::uintptr_t bytes = 0;  ///< of a row, whole lines
  index total = 0;           ///< lines
  index lines = 0;           ///< at each group of steps

  /// The next line; one of `total`.
  std::uintptr_t next() {
    if (from == end) {
      from = *rows++;
      end = from + bytes;
    }
    const std::uintptr_t result = from;
    from += cache_line;
    return result;
  }

  /// Share `part` of `parts` of `count` rows of `row_bytes`.
  static Trail share(const std::uintptr_t* starts, index count, index row_bytes, index part,
                     index parts) {
    const index row_lines = (row_bytes + cache_line - 1) / cache_line;
    const index first = row_lines * count * part / parts;
    const index total = row_lines * count * (part + 1) / parts - first;
    if (total == 0) {
      return {};
    }
    const std::uintptr_t start = starts[first / row_lines];
    const auto bytes = static_cast<std::uintptr_t>(row_lines * cache_line);
    return {starts + first / row_lines + 1,
            start + static_cast<std::uintptr_t>(first % row_lines * cache_line),
            start + bytes,
            bytes,
            total,
            0};
  }
};

/// Memory that a tile asks for while it computes: so many cache lines at each `group` of steps, one
/// after the other, and `chunk` bytes from one chunk of k to the next; then a share of what is
/// further away. A hint: no address is wrong.
struct Ahead {
  std::uintptr_t from = 0;
  index lines = 0;
  std::uintptr_t chunk = 0;
  Trail trail = {};

  static constexpr index group = 8;  ///< steps
};

/// How the left side of a tile lies in memory: chunks of `width` steps of k, in a chunk
enum class LeftOrder {
  by_row,  ///< [rows][width]: row by row
  by_step  ///< [width][rows]: step by step
};

/// The innermost loop of every product: sums[r][n] (+)= sum_k left(r,k) * right(k,n).
///
/// Each sum is one chain of multiply-adds in ascending k that starts from 0 or from the number in
/// `sums`, so its bits depend neither on the height of the tile nor on how k is cut into calls.
///
///   depth   number of steps k (of W's arithmetic: a pair of numbers in bfloat16)
///   left    chunks of `width` steps, `left_chunk` apart, see LeftOrder
///   right   [depth][width] steps
///   sums    [rows][width]
template <class W>
struct Tile {
  using Kind = Arithmetic<W>;
  using Sum = typename Kind::Sum;
  using Left = typename Kind::Left;

  index depth;
  const Left* left;
  index left_chunk;
  const W* right;
  Sum* sums;
  bool from_zero;
  Ahead ahead = {};
  bool past_caches = false;  ///< Simd::stream the sums, which are aligned; by_step only

  static constexpr index width = Panels<W>::width;
  static constexpr index lanes = Simd<Sum>::lanes;
  /// Highest tile: two registers a row, and the rest of the register file for the operands.
  static constexpr index max_rows = XMOE_VECTOR_BYTES == 64 ? 12 : 6;

  /// Computes `rows` <= max_rows rows and the first `columns` <= width columns, rounded up to
  /// lanes.
  template <LeftOrder layout>
  void run(index rows, index columns = width) const {
    using Function = void (*)(const Tile&, index);
    static constexpr auto narrow = []<int... r>(std::integer_sequence<int, r...>) {
      return Table<Function>{{&Tile::compute<layout, r + 1, 1>...}};
    }
    (std::make_integer_sequence<int, static_cast<int>(max_rows)>());
    static constexpr auto wide = []<int... r>(std::integer_sequence<int, r...>) {
      return Table<Function>{{&Tile::compute<layout, r + 1, 2>...}};
    }
    (std::make_integer_sequence<int, static_cast<int>(max_rows)>());
    index n = 0;
    for (; n + lanes < columns; n += 2 * lanes) {
      wide.entry[rows - 1](*this, n);
    }
    if (n < columns) {
      narrow.entry[rows - 1](*this, n);
    }
  }

 private:
  template <class Function>
  struct Table {
    Function entry[max_rows];
  };

  template <LeftOrder layout, int rows, int vectors>
  [[gnu::noinline]] static void compute(const Tile& tile, index column) {
    using Vector = typename Simd<Sum>::Vector;
    constexpr index row_step = layout == LeftOrder::by_row ? width : 1;
    constexpr index k_step = layout == LeftOrder::by_row ? 1 : rows;
    // Low tiles are limited by the memory itself, and its own prefetcher does better alone.
    constexpr bool ask_ahead = rows > 4 || layout == LeftOrder::by_step;
    // Only products that add to the weights' gradient write where they ask.
    constexpr int write = layout == LeftOrder::by_step ? 1 : 0;
    constexpr int level = layout == LeftOrder::by_step ? 3 : 2;
    Vector sum[std::size_t(rows)][std::size_t(vectors)];
    Sum* const sums = tile.sums + column;
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        sum[r][v] = tile.from_zero ? Vector{} : Simd<Sum>::load(sums + r * width + v * lanes);
      }
    }
    const W* right = tile.right + column * Panels<W>::per_step;
    const Left* chunk = tile.left;
    std::uintptr_t ahead_chunk = tile.ahead.from;
    [[maybe_unused]] Trail trail = tile.ahead.trail;
    for (index todo = tile.depth; todo > 0; todo -= width) {
      const Left* left = chunk;
      const Left* const end = left + (todo < width ? todo : width) * k_step;
      [[maybe_unused]] std::uintptr_t ahead = ahead_chunk;
      while (left != end) {
        const Left* pause = left + Ahead::group * k_step;
        pause = pause < end ? pause : end;
        if constexpr (ask_ahead) {
          for (index i = tile.ahead.lines; i > 0; --i) {
            __builtin_prefetch(reinterpret_cast<const void*>(ahead), write, level);
            ahead += cache_line;
          }
          if constexpr (layout == LeftOrder::by_row) {
            for (index i = trail.lines; i > 0 && trail.total > 0; --i, --trail.total) {
              __builtin_prefetch(reinterpret_cast<const void*>(trail.next()), 0, level);
            }
          }
        }
        for (; left != pause; left += k_step) {
          typename Kind::Operand b[std::size_t(vectors)];
#pragma GCC unroll 2
          for (int v = 0; v < vectors; ++v) {
            b[v] = Kind::load(right + v * lanes * Panels<W>::per_step);
          }
          right += Panels<W>::step_size;
#pragma GCC unroll 16
          for (int r = 0; r < rows; ++r) {
            const Left a = left[r * row_step];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; ++v) {
              sum[r][v] = Kind::multiply_add(sum[r][v], a, b[v]);
            }
          }
        }
      }
      chunk += tile.left_chunk;
      ahead_chunk += tile.ahead.chunk;
    }
    if constexpr (layout == LeftOrder::by_step) {
      if (tile.past_caches) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
          for (int v = 0; v < vectors; ++v) {
            Simd<Sum>::stream(sums + r * width + v * lanes, sum[r][v]);
          }
        }
        return;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        Simd<Sum>::store(sums + r * width + v * lanes, sum[r][v]);
      }
    }
  }
};

/// `total` things cut into `parts` runs whose lengths differ by at most one.
struct Split {
  index total;
  index parts;

  index begin(index part) const { return part * (total / parts) + min(part, total % parts); }
  index size(index part) const { return begin(part + 1) - begin(part); }
  static index min(index a, index b) { return a < b ? a : b; }
};

inline constexpr index ceil_div(index a, index b) { return (a + b - 1) / b; }

}  // namespace xmoe::inline XMOE_ABI::cpu
