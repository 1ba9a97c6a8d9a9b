// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/epilogue.cuh>
#include <xmoe/backend/cuda/grouped_fragments.cuh>
#include <xmoe/backend/cuda/grouped_operand.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// One tile of a product on tensor cores: operands come through `stages` buffers in shared memory,
/// 16 bytes a copy, into fragments by ldmatrix; sums in float. Every sum is one chain of mma.sync
/// over its terms in ascending order, whatever the tile. float operands are rounded to tf32.
///
///   A, B     how the rows' and the columns' operand lie in memory
///   Aligned  both can be read in chunks of 16 bytes
///   Pair     the halves of the tile are gates and ups: the epilogue gets both
template <class S, class Tile, Along A, Along B, bool Aligned, bool Pair>
class MmaEngine {
 public:
  using scalar = S;
  using Sum = float;
  using tile = Tile;
  static constexpr bool pair = Pair;
  static constexpr Along a = A, b = B;
  static constexpr int threads = Tile::threads;
  static constexpr int blocks = Tile::blocks;
  static constexpr int vector = chunk_of<S>;
  static constexpr int depth = Tile::depth_bytes / static_cast<int>(sizeof(S));
  static constexpr int columns = Pair ? Tile::columns / 2 : Tile::columns;  ///< of the output
  static constexpr int warp_rows = Tile::rows / Tile::warp_rows;
  static constexpr int warp_half = Tile::columns / Tile::warp_columns / 2;  ///< columns a half
  static constexpr int a_bytes = Tile::rows * Tile::depth_bytes;
  static constexpr int b_bytes = Tile::columns * Tile::depth_bytes;

  // The epilogue turns fragments into rows through shared memory, 16 rows of a warp at a time.
  static constexpr int staging_pitch = warp_half + 8;
  static constexpr std::size_t staging_bytes =
      static_cast<std::size_t>(threads / 32 * 2 * 16 * staging_pitch) * sizeof(float);
  static constexpr std::size_t shared_bytes =
      detail::larger(static_cast<std::size_t>(Tile::stages * (a_bytes + b_bytes)), staging_bytes);
  static constexpr std::size_t b_shared_bytes =
      detail::larger(static_cast<std::size_t>(Tile::stages * b_bytes), staging_bytes);

  static_assert(warp_rows % 16 == 0 && warp_half % segment == 0 && Tile::stages >= 2);
  static_assert(detail::fits(threads, blocks, warp_rows* warp_half * 2 / 32, warp_rows / 16 * 4 + 4,
                             shared_bytes));

  struct Sums {
    float v[static_cast<std::size_t>(warp_rows / 16)][2][static_cast<std::size_t>(warp_half / 8)]
           [4];
  };

  /// Both operands from global memory. Ends behind a barrier.
  static XMOE_DEVICE void multiply(unsigned char* memory, const Operand<S>& rows,
                                   const Operand<S>& cols, Sums& sums) {
    const LoaderA load_a(rows);
    const LoaderB load_b(cols);
    const int steps = detail::ceil_div(rows.depth, depth);
    clear(sums);
    const auto bring = [&](int step) {
      unsigned char* const to = memory + step % Tile::stages * (a_bytes + b_bytes);
      copy<LoaderA, ViewA>(load_a, step, to);
      copy<LoaderB, ViewB>(load_b, step, to + a_bytes);
    };
    const auto use = [&](int step) {
      const unsigned char* const from = memory + step % Tile::stages * (a_bytes + b_bytes);
      add(ViewA{from}, 0, ViewB{from + a_bytes}, sums);
    };
    pipeline(steps, bring, use);
  }

  /// After `finish`: from here on `memory` may be used again.
  static XMOE_DEVICE void leave() { XMOE_BARRIER(); }

  /// Where the fused kernel keeps the rows' operand of its second product: rows x `limit` numbers.
  struct Resident {
    ResidentView<S> view;
    int limit;  // chunks

    static constexpr XMOE_HD int limit_of(int numbers) {
      return detail::ceil_div(numbers, depth) * (Tile::depth_bytes / 16);
    }
    static constexpr XMOE_HD std::size_t bytes(int numbers) {
      return static_cast<std::size_t>(detail::ceil_div(limit_of(numbers), 8) * 128 * Tile::rows);
    }
    XMOE_DEVICE Resident(unsigned char* memory, int numbers)
        : view{memory, static_cast<unsigned>(detail::ceil_div(limit_of(numbers), 8) * 8)},
          limit(limit_of(numbers)) {}

    XMOE_DEVICE void put(int row, int column, const Run<Sum, vector>& values) const {
      if (column / vector < limit) {
        Pack<S, vector> pack;
        XMOE_UNROLL
        for (int i = 0; i < vector; ++i) {
          pack.v[i] = from_sum<S>(values[i]);
        }
        store_shared(reinterpret_cast<Pack<S, vector>*>(view.at(
                         static_cast<unsigned>(row), static_cast<unsigned>(column / vector))),
                     pack);
      }
    }
  };

  /// The rows' operand lies in shared memory as a whole. Ends behind a barrier.
  static XMOE_DEVICE void multiply_resident(unsigned char* memory, const Resident& resident,
                                            const Operand<S>& cols, Sums& sums) {
    const LoaderB load_b(cols);
    const int steps = detail::ceil_div(cols.depth, depth);
    clear(sums);
    const auto bring = [&](int step) {
      copy<LoaderB, ViewB>(load_b, step, memory + step % Tile::stages * b_bytes);
    };
    const auto use = [&](int step) {
      add(resident.view, static_cast<unsigned>(step * (Tile::depth_bytes / 16)),
          ViewB{memory + step % Tile::stages * b_bytes}, sums);
    };
    pipeline(steps, bring, use);
  }

  /// Hands all sums of the tile to the epilogue, `vector` columns a call. `at.row` and `at.column`
  /// are those of the tile's first sum, rows and cols how many exist from there on. A barrier has
  /// to follow before `memory` is used again.
  template <class Epilogue>
  static XMOE_DEVICE void finish(unsigned char* memory, const Sums& sums, Place at, int rows,
                                 int cols, const Epilogue& epilogue) {
    constexpr int lanes = warp_half / vector;  // of a row
    float* const staging = reinterpret_cast<float*>(memory) + warp() * 2 * 16 * staging_pitch;
    const int first_row = at.row;
    const int first_column = at.column;
    XMOE_UNROLL
    for (int i = 0; i < warp_rows / 16; ++i) {
      XMOE_UNROLL
      for (int half = 0; half < 2; ++half) {
        XMOE_UNROLL
        for (int j = 0; j < warp_half / 8; ++j) {
          float* const to =
              staging + (half * 16 + lane() / 4) * staging_pitch + j * 8 + lane() % 4 * 2;
          const float* const v = sums.v[i][half][j];
          store_shared(reinterpret_cast<Pack<float, 2>*>(to), Pack<float, 2>{{v[0], v[1]}});
          store_shared(reinterpret_cast<Pack<float, 2>*>(to + 8 * staging_pitch),
                       Pack<float, 2>{{v[2], v[3]}});
        }
      }
      XMOE_WARP_BARRIER(0xffffffffu);
      XMOE_UNROLL
      for (int pass = 0; pass < 16 * lanes / 32; ++pass) {
        const int row = (pass * 32 + lane()) / lanes;
        const int column = lane() % lanes * vector;
        at.local = warp() / Tile::warp_columns * warp_rows + i * 16 + row;
        at.row = first_row + at.local;
        const float* const from = staging + row * staging_pitch + column;
        const int within = warp() % Tile::warp_columns * warp_half + column;
        Run<float, vector> first;
        Run<float, vector> second;
        gather(from, first);
        gather(from + 16 * staging_pitch, second);
        place(at, within, first_column, rows, cols);
        if constexpr (Pair) {
          epilogue(at, first, second);
        } else {
          epilogue(at, first);
          place(at, Tile::columns / 2 + within, first_column, rows, cols);
          epilogue(at, second);
        }
      }
      XMOE_WARP_BARRIER(0xffffffffu);
    }
  }

  /// All sums zero.
  static XMOE_DEVICE void clear(Sums& sums) {
    XMOE_UNROLL
    for (int i = 0; i < warp_rows / 16; ++i) {
      XMOE_UNROLL
      for (int j = 0; j < warp_half / 4; ++j) {
        XMOE_UNROLL
        for (int r = 0; r < 4; ++r) {
          sums.v[i][j % 2][j / 2][r] = 0.f;
        }
      }
    }
  }

 private:
  using LoaderA = Loader<S, Tile::rows, depth, threads, A, Aligned, false>;
  using LoaderB = Loader<S, Tile::columns, depth, threads, B, Aligned, Pair>;
  using ViewA = TileView<S, A, LoaderA::line_chunks>;
  using ViewB = TileView<S, B, LoaderB::line_chunks>;

  static XMOE_DEVICE int lane() { return static_cast<int>(threadIdx.x % 32); }
  static XMOE_DEVICE int warp() { return static_cast<int>(threadIdx.x / 32); }

  static XMOE_DEVICE void place(Place& at, int column, int first, int rows, int cols) {
    const int left = at.local < rows ? cols - column : 0;
    at.column = first + column;
    at.count = left < 0 ? 0 : (left > vector ? vector : left);
  }
  static XMOE_DEVICE void gather(const float* from, Run<float, vector>& to) {
    XMOE_UNROLL
    for (int v = 0; v < vector; v += 4) {
      const auto pack = load_shared<Pack<float, 4>>(from + v);
      XMOE_UNROLL
      for (int j = 0; j < 4; ++j) {
        to[v + j] = pack.v[j];
      }
    }
  }

  template <class L, class View>
  static XMOE_DEVICE void copy(const L& loader, int step, unsigned char* to) {
    XMOE_UNROLL
    for (int i = 0; i < L::count; ++i) {
      if (L::active(i)) {
        unsigned char* const chunk = to + View::offset(static_cast<unsigned>(L::line(i)),
                                                       static_cast<unsigned>(L::chunk_in_line()));
        if constexpr (Aligned) {
          int numbers = 0;
          const S* const from = loader.source(i, step, numbers);
          cp_async_16(chunk, from, numbers * static_cast<int>(sizeof(S)));
        } else {
          store_shared(reinterpret_cast<typename L::Chunk*>(chunk), loader.fetch(i, step));
        }
      }
    }
  }

  // stages - 1 steps are on their way while one is used. The buffer that a step's copy overwrites
  // was used one step ago, and the step's barrier stands between.
  template <class Bring, class Use>
  static XMOE_DEVICE void pipeline(int steps, const Bring& bring, const Use& use) {
    XMOE_UNROLL
    for (int step = 0; step < Tile::stages - 1; ++step) {
      if (step < steps) {
        bring(step);
      }
      cp_async_commit();
    }
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<Tile::stages - 2>();
      XMOE_BARRIER();
      if (step + Tile::stages - 1 < steps) {
        bring(step + Tile::stages - 1);
      }
      cp_async_commit();
      use(step);
    }
    cp_async_wait<0>();
    XMOE_BARRIER();
  }

  // One step. `first_chunk`: where the step begins in the lines of the rows' operand.
  template <class FromA, class FromB>
  static XMOE_DEVICE void add(FromA rows, unsigned first_chunk, FromB cols, Sums& sums) {
    constexpr unsigned across = Tile::warp_columns;
    const unsigned row = threadIdx.x / 32 / across * unsigned(warp_rows);
    const unsigned column = threadIdx.x / 32 % across * unsigned(warp_half);
    XMOE_UNROLL
    for (unsigned k = 0; k < Tile::depth_bytes / 32; ++k) {
      Run<Fragment, warp_rows / 16> left;
      XMOE_UNROLL
      for (int i = 0; i < warp_rows / 16; ++i) {
        left[i] =
            row_fragment<S>(rows, row + static_cast<unsigned>(i) * 16, first_chunk + k * 2, k);
      }
      XMOE_UNROLL
      for (int half = 0; half < 2; ++half) {
        XMOE_UNROLL
        for (int j = 0; j < warp_half / 8; j += 2) {
          const Fragment right = column_fragment<S>(
              cols, column + static_cast<unsigned>(half * (Tile::columns / 2) + j * 8), k * 2, k);
          XMOE_UNROLL
          for (int i = 0; i < warp_rows / 16; ++i) {
            multiply_add<S>(sums.v[i][half][j], left[i], right.v[0], right.v[1]);
            multiply_add<S>(sums.v[i][half][j + 1], left[i], right.v[2], right.v[3]);
          }
        }
      }
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda
