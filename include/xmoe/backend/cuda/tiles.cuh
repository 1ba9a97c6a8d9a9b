// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/platform.cuh>
#include <xmoe/core/narrow.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// Which index of an operand of a product is contiguous in memory: the one that is summed over, or
/// the other one. x and W in x W^T are `depth`; W in dy W is `outer`; both of dy^T x are `outer`.
enum class Along { depth, outer };

/// What a block may use, the smallest of the targets (sm_80).
struct Limits {
  static constexpr int threads = 1024;
  static constexpr int registers = 255;              ///< of a thread
  static constexpr int block_registers = 65536;      ///< of a multiprocessor
  static constexpr std::size_t shared = 163 * 1024;  ///< of a block; of all blocks of a
                                                     ///< multiprocessor together 1 KiB a block more
};

/// A block's part of a product in ordinary arithmetic: rows x columns of the output, `depth` terms
/// of every sum a step. A thread holds rows / thread_rows times columns / thread_columns sums.
template <int Rows, int Columns, int Depth, int ThreadRows, int ThreadColumns, int Blocks>
struct SimtTile {
  static constexpr int rows = Rows;
  static constexpr int columns = Columns;
  static constexpr int depth = Depth;
  static constexpr int thread_rows = ThreadRows;
  static constexpr int thread_columns = ThreadColumns;
  static constexpr int threads = ThreadRows * ThreadColumns;
  static constexpr int blocks = Blocks;  ///< on one multiprocessor
};

/// A block's part of a product on tensor cores. A step takes `depth_bytes` of every row of the
/// operands, so that one tile serves 2- and 4-byte scalars; `stages` steps are in flight.
template <int Rows, int Columns, int DepthBytes, int WarpRows, int WarpColumns, int Stages,
          int Blocks>
struct MmaTile {
  static constexpr int rows = Rows;
  static constexpr int columns = Columns;
  static constexpr int depth_bytes = DepthBytes;
  static constexpr int warp_rows = WarpRows;
  static constexpr int warp_columns = WarpColumns;
  static constexpr int threads = 32 * WarpRows * WarpColumns;
  static constexpr int stages = Stages;
  static constexpr int blocks = Blocks;
};

/// The arithmetic of a product.
struct Simt {};        ///< ordinary multiply-adds in S; float and double
struct TensorCore {};  ///< mma.sync with sums in float; bfloat16, half, and float rounded to tf32

/// What is used unless another is asked for: float stays float, tf32 is opted into.
template <class S>
struct default_math {
  using type = Simt;
};
template <NarrowWeight S>
struct default_math<S> {
  using type = TensorCore;
};

/// Tiles by arithmetic and scalar: `large` for many rows an expert, `small` for up to about 32,
/// `fused` for the two-layer kernel. To be tuned on a device; results do not depend on them.
template <class Math, class S>
struct Tiles;
template <>
struct Tiles<Simt, float> {
  using large = SimtTile<128, 64, 8, 16, 8, 3>;
  using small = SimtTile<32, 128, 8, 8, 16, 4>;
  using fused = SimtTile<64, 128, 8, 16, 16, 1>;
};
template <>
struct Tiles<Simt, double> {
  using large = SimtTile<64, 64, 8, 16, 16, 2>;
  using small = SimtTile<32, 64, 8, 16, 16, 2>;
  using fused = SimtTile<32, 64, 8, 16, 16, 1>;
};
template <class S>
requires(NarrowWeight<S> || std::same_as<S, float>) struct Tiles<TensorCore, S> {
  using large = MmaTile<128, 128, 64, 2, 2, 4, 2>;
  using small = MmaTile<32, 128, 128, 2, 2, 3, 2>;
  using fused = MmaTile<64, 256, 64, 2, 4, 3, 1>;
};

/// Rows an expert up to which `small` tiles are taken.
inline constexpr int small_tile_rows = 32;

namespace detail {

/// Whether a tile keeps the limits: threads, registers, shared memory of the blocks of one
/// multiprocessor. `sums` and `fragments` in registers a thread; `spare` for addresses and
/// counters.
constexpr bool fits(int threads, int blocks, int sums, int fragments, std::size_t shared,
                    int spare = 40) {
  const int registers = sums + fragments + spare;
  return threads <= Limits::threads && threads % 32 == 0 && registers <= Limits::registers &&
         registers * threads * blocks <= Limits::block_registers && shared <= Limits::shared &&
         (shared + 1024) * static_cast<std::size_t>(blocks) <= Limits::shared + 1024;
}

constexpr XMOE_HD int ceil_div(int a, int b) { return (a + b - 1) / b; }

constexpr std::size_t larger(std::size_t a, std::size_t b) { return a > b ? a : b; }

}  // namespace detail

/// 16 bytes, or fewer, of neighbouring numbers: one instruction to load or store.
template <class T, int N>
struct alignas(sizeof(T) * static_cast<std::size_t>(N)) Pack {
  T v[static_cast<std::size_t>(N)];
};

/// Numbers of one thread, in registers: every loop over them has to be unrolled.
template <class T, int N>
struct Run {
  T v[static_cast<std::size_t>(N)];

  XMOE_DEVICE T& operator[](int i) { return v[i]; }
  XMOE_DEVICE const T& operator[](int i) const { return v[i]; }
};

/// Numbers of 16 bytes.
template <class T>
inline constexpr int chunk_of = 16 / static_cast<int>(sizeof(T));

/// Conversion between what is stored and what is summed.
template <class Sum, class T>
XMOE_DEVICE Sum to_sum(T x) {
  if constexpr (NarrowWeight<T>) {
    return static_cast<Sum>(static_cast<float>(x));
  } else {
    return static_cast<Sum>(x);
  }
}
template <class T, class Sum>
XMOE_DEVICE T from_sum(Sum x) {
  if constexpr (NarrowWeight<T>) {
    return T(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
