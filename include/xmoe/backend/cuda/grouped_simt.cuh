// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/epilogue.cuh>
#include <xmoe/backend/cuda/grouped_operand.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// One tile of a product in ordinary multiply-adds, sums in S. A thread holds `vector` neighbouring
/// columns in each half of the tile. Every sum is one chain over its terms in ascending order,
/// whatever the tile.
///
///   A, B     how the rows' and the columns' operand lie in memory
///   Aligned  both can be read in chunks of 16 bytes
///   Pair     the halves of the tile are gates and ups: the epilogue gets both
template <class S, class Tile, Along A, Along B, bool Aligned, bool Pair>
class SimtEngine {
 public:
  using scalar = S;
  using Sum = S;
  using tile = Tile;
  static constexpr bool pair = Pair;
  static constexpr Along a = A, b = B;
  static constexpr int threads = Tile::threads;
  static constexpr int blocks = Tile::blocks;
  static constexpr int vector = chunk_of<S>;
  static constexpr int columns = Pair ? Tile::columns / 2 : Tile::columns;  ///< of the output
  static constexpr int thread_rows = Tile::rows / Tile::thread_rows;
  static constexpr int group = thread_rows < vector ? thread_rows : vector;  ///< rows side by side
  static constexpr int a_pitch = Tile::rows + vector;
  static constexpr int b_pitch = Tile::columns + vector;
  static constexpr std::size_t shared_bytes =
      static_cast<std::size_t>(2 * Tile::depth * (a_pitch + b_pitch)) * sizeof(S);
  static constexpr std::size_t b_shared_bytes =
      static_cast<std::size_t>(2 * Tile::depth * b_pitch) * sizeof(S);

  static_assert(Tile::columns == 2 * vector * Tile::thread_columns);
  static_assert(Tile::rows % Tile::thread_rows == 0 && thread_rows % group == 0);
  static_assert(Tile::thread_columns % (segment / vector) == 0, "a segment lies in one warp");
  static_assert(detail::fits(threads, blocks,
                             thread_rows * 2 * vector * static_cast<int>(sizeof(S) / 4),
                             (thread_rows + 2 * vector) * static_cast<int>(sizeof(S) / 4),
                             shared_bytes));

  struct Sums {
    Run<S, vector> v[static_cast<std::size_t>(thread_rows)][2];
  };

  /// Both operands from global memory. Ends behind a barrier.
  static XMOE_DEVICE void multiply(unsigned char* memory, const Operand<S>& rows,
                                   const Operand<S>& cols, Sums& sums) {
    S* const shared_a = reinterpret_cast<S*>(memory);
    S* const shared_b = shared_a + 2 * Tile::depth * a_pitch;
    const LoaderA load_a(rows);
    const LoaderB load_b(cols);
    typename LoaderA::Chunks chunk_a{};
    typename LoaderB::Chunks chunk_b{};
    const int steps = detail::ceil_div(rows.depth, Tile::depth);
    clear(sums);
    fetch(load_a, 0, chunk_a);
    fetch(load_b, 0, chunk_b);
    put<LoaderA, A, a_pitch>(shared_a, chunk_a);
    put<LoaderB, B, b_pitch>(shared_b, chunk_b);
    XMOE_BARRIER();
    for (int step = 0; step < steps; ++step) {
      const bool more = step + 1 < steps;
      const int now = step % 2 * Tile::depth;
      const int next = Tile::depth - now;
      if (more) {
        fetch(load_a, step + 1, chunk_a);
        fetch(load_b, step + 1, chunk_b);
      }
      add(shared_a + now * a_pitch, shared_b + now * b_pitch, sums);
      if (more) {
        put<LoaderA, A, a_pitch>(shared_a + next * a_pitch, chunk_a);
        put<LoaderB, B, b_pitch>(shared_b + next * b_pitch, chunk_b);
      }
      XMOE_BARRIER();
    }
  }

  /// After `finish`: from here on the shared memory may be used again.
  static XMOE_DEVICE void leave() {}

  /// Where the fused kernel keeps the rows' operand of its second product: [limit][a_pitch].
  struct Resident {
    S* data;
    int limit;

    static constexpr XMOE_HD int limit_of(int numbers) {
      return detail::ceil_div(numbers, Tile::depth) * Tile::depth;
    }
    static constexpr XMOE_HD std::size_t bytes(int numbers) {
      return static_cast<std::size_t>(limit_of(numbers) * a_pitch) * sizeof(S);
    }
    XMOE_DEVICE Resident(unsigned char* memory, int numbers)
        : data(reinterpret_cast<S*>(memory)), limit(limit_of(numbers)) {}

    XMOE_DEVICE void put(int row, int column, const Run<S, vector>& values) const {
      XMOE_UNROLL
      for (int i = 0; i < vector; ++i) {
        if (column + i < limit) {
          store_shared(data + (column + i) * a_pitch + row, values[i]);
        }
      }
    }
  };

  /// The rows' operand lies in shared memory as a whole. Ends behind a barrier.
  static XMOE_DEVICE void multiply_resident(unsigned char* memory, const Resident& resident,
                                            const Operand<S>& cols, Sums& sums) {
    S* const shared_b = reinterpret_cast<S*>(memory);
    const LoaderB load_b(cols);
    typename LoaderB::Chunks chunk_b{};
    const int steps = detail::ceil_div(cols.depth, Tile::depth);
    clear(sums);
    fetch(load_b, 0, chunk_b);
    put<LoaderB, B, b_pitch>(shared_b, chunk_b);
    XMOE_BARRIER();
    for (int step = 0; step < steps; ++step) {
      const bool more = step + 1 < steps;
      const int now = step % 2 * Tile::depth;
      if (more) {
        fetch(load_b, step + 1, chunk_b);
      }
      add(resident.data + step * Tile::depth * a_pitch, shared_b + now * b_pitch, sums);
      if (more) {
        put<LoaderB, B, b_pitch>(shared_b + (Tile::depth - now) * b_pitch, chunk_b);
      }
      XMOE_BARRIER();
    }
  }

  /// Hands all sums of the tile to the epilogue, `vector` columns a call. `at.row` and `at.column`
  /// are those of the tile's first sum, rows and cols how many exist from there on.
  template <class Epilogue>
  static XMOE_DEVICE void finish(unsigned char*, const Sums& sums, Place at, int rows, int cols,
                                 const Epilogue& epilogue) {
    const int x = static_cast<int>(threadIdx.x % unsigned(Tile::thread_columns));
    const int first_row = at.row;
    const int first_column = at.column;
    XMOE_UNROLL
    for (int i = 0; i < thread_rows; ++i) {
      at.local = row_of(i);
      at.row = first_row + at.local;
      if constexpr (Pair) {
        place(at, x * vector, first_column, rows, cols);
        epilogue(at, sums.v[i][0], sums.v[i][1]);
      } else {
        XMOE_UNROLL
        for (int half = 0; half < 2; ++half) {
          place(at, half * (Tile::columns / 2) + x * vector, first_column, rows, cols);
          epilogue(at, sums.v[i][half]);
        }
      }
    }
  }

  /// All sums zero.
  static XMOE_DEVICE void clear(Sums& sums) {
    XMOE_UNROLL
    for (int i = 0; i < thread_rows; ++i) {
      XMOE_UNROLL
      for (int j = 0; j < vector; ++j) {
        sums.v[i][0][j] = S(0);
        sums.v[i][1][j] = S(0);
      }
    }
  }

 private:
  using LoaderA = Loader<S, Tile::rows, Tile::depth, threads, A, Aligned, false>;
  using LoaderB = Loader<S, Tile::columns, Tile::depth, threads, B, Aligned, Pair>;

  static XMOE_DEVICE void place(Place& at, int column, int first, int rows, int cols) {
    const int left = at.local < rows ? cols - column : 0;
    at.column = first + column;
    at.count = left < 0 ? 0 : (left > vector ? vector : left);
  }
  // Row within the tile of the thread's i-th row.
  static XMOE_DEVICE int row_of(int i) {
    const int y = static_cast<int>(threadIdx.x / unsigned(Tile::thread_columns));
    return i / group * group * Tile::thread_rows + y * group + i % group;
  }

  template <class L>
  static XMOE_DEVICE void fetch(const L& loader, int step, typename L::Chunks& chunks) {
    XMOE_UNROLL
    for (int i = 0; i < L::count; ++i) {
      if (L::active(i)) {
        chunks[i] = loader.fetch(i, step);
      }
    }
  }
  // Stores a step's chunks as [depth][pitch]. Pitches are 16 bytes off a power of two, which keeps
  // also the transposing stores free of bank conflicts.
  template <class L, Along Direction, int Pitch>
  static XMOE_DEVICE void put(S* to, const typename L::Chunks& chunks) {
    XMOE_UNROLL
    for (int i = 0; i < L::count; ++i) {
      if (L::active(i)) {
        if constexpr (Direction == Along::outer) {
          store_shared(reinterpret_cast<typename L::Chunk*>(to + L::line(i) * Pitch +
                                                            L::chunk_in_line() * vector),
                       chunks[i]);
        } else {
          XMOE_UNROLL
          for (int j = 0; j < vector; ++j) {
            store_shared(to + (L::chunk_in_line() * vector + j) * Pitch + L::line(i),
                         chunks[i].v[j]);
          }
        }
      }
    }
  }
  static XMOE_DEVICE void add(const S* shared_a, const S* shared_b, Sums& sums) {
    const S* const from_a = shared_a + row_of(0);
    const S* const from_b =
        shared_b + static_cast<int>(threadIdx.x % unsigned(Tile::thread_columns)) * vector;
    XMOE_UNROLL
    for (int k = 0; k < Tile::depth; ++k) {
      Run<Pack<S, group>, thread_rows / group> rows;
      Pack<S, vector> cols[2];
      XMOE_UNROLL
      for (int i = 0; i < thread_rows / group; ++i) {
        rows[i] = load_shared<Pack<S, group>>(from_a + k * a_pitch + i * group * Tile::thread_rows);
      }
      XMOE_UNROLL
      for (int half = 0; half < 2; ++half) {
        cols[half] =
            load_shared<Pack<S, vector>>(from_b + k * b_pitch + half * (Tile::columns / 2));
      }
      XMOE_UNROLL
      for (int i = 0; i < thread_rows; ++i) {
        XMOE_UNROLL
        for (int j = 0; j < 2 * vector; ++j) {
          sums.v[i][j / vector][j % vector] +=
              rows[i / group].v[i % group] * cols[j / vector].v[j % vector];
        }
      }
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda
