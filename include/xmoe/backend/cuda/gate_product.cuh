// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// A block's part of a product of the gate: M x N numbers of the output, of which a thread holds
/// RM x RN, sums in R.
template <class R, int M_, int N_, int RM_, int RN_>
struct GateTile {
  using Sum = R;
  static constexpr int M = M_, N = N_, RM = RM_, RN = RN_;
  static constexpr int K = 128 / static_cast<int>(sizeof(R));  ///< terms a step
  static constexpr int vector = chunk_of<R>;                   ///< numbers of one read
  static constexpr int threads = (M / RM) * (N / RN);
  static_assert(threads % 32 == 0);
};

/// Numbers as they are.
struct AsTheyAre {
  template <class R>
  XMOE_DEVICE R operator()(R value, int, int) const {
    return value;
  }
};

/// One operand: rows in memory, read by chunks and widened to R on the way into shared memory.
/// What lies beyond its edges reads as zero and is not touched.
///
///   A       depth: a row is an index of the output; outer: a row is a term of the sums
///   Edit    (value, row, column) -> what takes part instead
template <class S, Along A_, class Edit = AsTheyAre>
struct GateOperand {
  using scalar = S;
  static constexpr Along A = A_;

  const S* data = nullptr;
  index stride = 0;
  int rows = 0;  ///< exist
  int cols = 0;
  bool aligned = false;  ///< rows begin at multiples of 16 bytes
  Edit edit{};
};

/// The part of one thread in bringing an operand's steps into shared memory, and in reading them.
/// Along::depth lies there as [Outer][K + vector], Along::outer as [K][Outer]: reads and writes of
/// 16 bytes meet no bank twice.
template <class Tile, class Operand, int Outer, int Own>
struct GateSide {
  using R = typename Tile::Sum;
  using S = typename Operand::scalar;
  static constexpr bool by_depth = Operand::A == Along::depth;
  static constexpr int pitch = by_depth ? Tile::K + Tile::vector : Outer;
  static constexpr int lines = by_depth ? Outer : Tile::K;
  static constexpr int length = by_depth ? Tile::K : Outer;
  static constexpr int chunk = chunk_of<S> < length ? chunk_of<S> : length;
  static constexpr int line_chunks = length / chunk;
  static constexpr int total = lines * line_chunks;
  static constexpr int count = ceil_div(total, Tile::threads);
  static constexpr int size = lines * pitch;  ///< numbers in shared memory
  static constexpr int group = Own < Tile::vector ? Own : Tile::vector;
  using Chunks = Run<Pack<S, chunk>, count>;

  /// The thread's number i of the output within the tile; `place`: which thread of its side it is.
  static XMOE_DEVICE int at(int place, int i) {
    return by_depth ? place + i * (Outer / Own) : place * Own + i;
  }

  /// Reads step `step`: terms from `first` on, outputs from `outer` on.
  static XMOE_DEVICE void fetch(const Operand& from, int outer, int first, Chunks& to) {
    XMOE_UNROLL
    for (int i = 0; i < count; ++i) {
      const int q = i * Tile::threads + thread_index();
      const int row = (by_depth ? outer : first) + q / line_chunks;
      const int col = (by_depth ? first : outer) + q % line_chunks * chunk;
      const index place = row * from.stride + col;  // of memory only where it is there
      const bool there = q < total && row < from.rows;
      if (there && from.aligned && col + chunk <= from.cols) {
        to[i] = load<Pack<S, chunk>>(from.data + place);
      } else {
        XMOE_UNROLL
        for (int j = 0; j < chunk; ++j) {
          to[i].v[j] = there && col + j < from.cols ? load<S>(from.data + place + j) : S();
        }
      }
    }
  }
  /// Writes what was read to shared memory.
  static XMOE_DEVICE void put(const Operand& from, int outer, int first, const Chunks& chunks,
                              R* to) {
    constexpr int part = chunk < Tile::vector ? chunk : Tile::vector;
    XMOE_UNROLL
    for (int i = 0; i < count; ++i) {
      const int q = i * Tile::threads + thread_index();
      const int line = q / line_chunks;
      const int place = q % line_chunks * chunk;
      const int row = (by_depth ? outer : first) + line;
      const int col = (by_depth ? first : outer) + place;
      if (q < total) {
        XMOE_UNROLL
        for (int j = 0; j < chunk; j += part) {
          Pack<R, part> wide;
          XMOE_UNROLL
          for (int n = 0; n < part; ++n) {
            wide.v[n] = from.edit(to_sum<R>(chunks[i].v[j + n]), row, col + j + n);
          }
          store_shared(to + line * pitch + place + j, wide);
        }
      }
    }
  }
  /// Terms k .. k + vector - 1 of the thread's own outputs.
  static XMOE_DEVICE void read(const R* from, int place, int k,
                               Run<Run<R, Tile::vector>, Own>& to) {
    if constexpr (by_depth) {
      XMOE_UNROLL
      for (int i = 0; i < Own; ++i) {
        const auto v = load_shared<Pack<R, Tile::vector>>(from + at(place, i) * pitch + k);
        XMOE_UNROLL
        for (int j = 0; j < Tile::vector; ++j) {
          to[i][j] = v.v[j];
        }
      }
    } else {
      XMOE_UNROLL
      for (int j = 0; j < Tile::vector; ++j) {
        XMOE_UNROLL
        for (int i = 0; i < Own; i += group) {
          const auto v = load_shared<Pack<R, group>>(from + (k + j) * pitch + at(place, i));
          XMOE_UNROLL
          for (int n = 0; n < group; ++n) {
            to[i + n][j] = v.v[n];
          }
        }
      }
    }
  }
};

/// sums[m,n] += sum over terms [begin, end) of a(m,k) b(n,k): every sum is one chain of fused
/// multiply-adds in ascending k. The whole block.
template <class Tile, class OperandA, class OperandB>
struct GateProduct {
  using tile = Tile;
  using R = typename Tile::Sum;
  using A = GateSide<Tile, OperandA, Tile::M, Tile::RM>;
  using B = GateSide<Tile, OperandB, Tile::N, Tile::RN>;
  static constexpr std::size_t shared_bytes =
      2 * static_cast<std::size_t>(A::size + B::size) * sizeof(R);
  static constexpr int columns = Tile::N / Tile::RN;

  /// Which thread of the rows' side, of the columns' side: neighbours store side by side.
  static XMOE_DEVICE int place_a() { return thread_index() / columns; }
  static XMOE_DEVICE int place_b() { return thread_index() % columns; }

  static XMOE_DEVICE void run(const OperandA& a, const OperandB& b, int row, int col, int begin,
                              int end, R* memory, Run<Run<R, Tile::RN>, Tile::RM>& sums) {
    typename A::Chunks from_a;
    typename B::Chunks from_b;
    A::fetch(a, row, begin, from_a);
    B::fetch(b, col, begin, from_b);
    int half = 0;
    for (int first = begin; first < end; first += Tile::K, half ^= 1) {
      R* const shared_a = memory + half * (A::size + B::size);
      R* const shared_b = shared_a + A::size;
      A::put(a, row, first, from_a, shared_a);
      B::put(b, col, first, from_b, shared_b);
      XMOE_BARRIER();
      if (first + Tile::K < end) {
        A::fetch(a, row, first + Tile::K, from_a);
        B::fetch(b, col, first + Tile::K, from_b);
      }
      const int left = end - first < Tile::K ? end - first : Tile::K;
      for (int k = 0; k < left; k += Tile::vector) {
        Run<Run<R, Tile::vector>, Tile::RM> u;
        Run<Run<R, Tile::vector>, Tile::RN> v;
        A::read(shared_a, place_a(), k, u);
        B::read(shared_b, place_b(), k, v);
        XMOE_UNROLL
        for (int n = 0; n < Tile::vector; ++n) {
          XMOE_UNROLL
          for (int i = 0; i < Tile::RM; ++i) {
            XMOE_UNROLL
            for (int j = 0; j < Tile::RN; ++j) {
              sums[i][j] = multiply_add(u[i][n], v[j][n], sums[i][j]);
            }
          }
        }
      }
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
