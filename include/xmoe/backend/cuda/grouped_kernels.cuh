// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/grouped_mma.cuh>
#include <xmoe/backend/cuda/grouped_schedule.cuh>
#include <xmoe/backend/cuda/grouped_simt.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

template <class Math, class S, class Tile, Along A, Along B, bool Aligned, bool Pair>
struct engine_of;
template <class S, class Tile, Along A, Along B, bool Aligned, bool Pair>
struct engine_of<Simt, S, Tile, A, B, Aligned, Pair> {
  using type = SimtEngine<S, Tile, A, B, Aligned, Pair>;
};
template <class S, class Tile, Along A, Along B, bool Aligned, bool Pair>
struct engine_of<TensorCore, S, Tile, A, B, Aligned, Pair> {
  using type = MmaEngine<S, Tile, A, B, Aligned, Pair>;
};

}  // namespace detail

/// The loop that multiplies one tile, by arithmetic.
template <class Math, class S, class Tile, Along A, Along B, bool Aligned, bool Pair = false>
using Engine = typename detail::engine_of<Math, S, Tile, A, B, Aligned, Pair>::type;

/// What the kernel of a product grouped by rows reads. Plain numbers: a kernel argument.
template <class S>
struct RowsArguments {
  const int* offsets = nullptr;  ///< [E+1]
  int experts = 0;
  const S* rows = nullptr;  ///< [.,depth]
  index row_stride = 0;
  const int* gather = nullptr;  ///< [M] or null
  const S* weights = nullptr;   ///< [E,.,.]
  index matrix = 0;             ///< numbers between two experts' weights
  index weight_stride = 0;
  int columns = 0;  ///< of the output
  int depth = 0;    ///< terms of a sum
};

/// out[m] = epilogue(sum over depth of rows[gather(m)] * weights[e of m]) for every plan row m. The
/// grid may have any number of blocks: each takes every gridDim-th tile of the list.
template <class E, class Epilogue>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(E::threads, E::blocks)
    grouped_rows_kernel(RowsArguments<typename E::scalar> p, Epilogue epilogue) {
  using S = typename E::scalar;
  XMOE_SHARED(unsigned char, memory);
  Schedule schedule(p.offsets, p.experts, E::tile::rows, detail::ceil_div(p.columns, E::columns));
  TileAt at;
  for (int tile = static_cast<int>(blockIdx.x); schedule.find(tile, at);
       tile += static_cast<int>(gridDim.x)) {
    const int column = at.column * E::columns;
    const S* const weights = p.weights + at.expert * p.matrix;
    const Operand<S> rows{p.rows, p.row_stride, p.gather, at.begin, at.rows, p.depth, 0, 0};
    const Operand<S> cols =
        E::b == Along::depth
            ? Operand<S>{weights, p.weight_stride, nullptr, column, p.columns - column, p.depth,
                         0,       p.columns}
            : Operand<S>{weights, p.weight_stride, nullptr, 0, p.columns - column,
                         p.depth, column,          0};
    typename E::Sums sums;
    E::multiply(memory, rows, cols, sums);
    E::finish(memory, sums, {at.expert, at.begin, 0, column, 0}, at.rows, p.columns - column,
              epilogue);
    E::leave();
  }
}

/// What the kernel of a weights' gradient reads.
template <class S>
struct WeightGradientArguments {
  const int* offsets = nullptr;  ///< [E+1]
  int experts = 0;
  const S* outer = nullptr;  ///< [.,N], the gradient of the product's output
  index outer_stride = 0;
  const int* outer_gather = nullptr;  ///< [M] or null
  const S* inner = nullptr;           ///< [.,K], the product's input
  index inner_stride = 0;
  const int* inner_gather = nullptr;  ///< [M] or null
  int rows = 0;                       ///< N
  int columns = 0;                    ///< K
  bool skip_empty = false;            ///< experts without rows are left alone; else they get zeros
};

/// dw[e] = epilogue(sum over the expert's plan rows m, in their order, of outer[m]^T inner[m]).
template <class E, class Epilogue>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(E::threads, E::blocks)
    grouped_weight_gradient_kernel(WeightGradientArguments<typename E::scalar> p,
                                   Epilogue epilogue) {
  using S = typename E::scalar;
  XMOE_SHARED(unsigned char, memory);
  const int row_tiles = detail::ceil_div(p.rows, E::tile::rows);
  const int of_expert = row_tiles * detail::ceil_div(p.columns, E::columns);
  for (int tile = static_cast<int>(blockIdx.x); tile < of_expert * p.experts;
       tile += static_cast<int>(gridDim.x)) {
    const int expert = tile / of_expert;
    const int row = tile % of_expert % row_tiles * E::tile::rows;
    const int column = tile % of_expert / row_tiles * E::columns;
    const int begin = load<int>(p.offsets + expert);
    const int terms = load<int>(p.offsets + expert + 1) - begin;
    if (terms == 0 && p.skip_empty) {
      continue;
    }
    const Operand<S> left{p.outer, p.outer_stride, p.outer_gather, begin, p.rows - row, terms, row,
                          0};
    const Operand<S> right{
        p.inner, p.inner_stride, p.inner_gather, begin, p.columns - column, terms, column, 0};
    typename E::Sums sums;
    E::multiply(memory, left, right, sums);
    E::finish(memory, sums, {expert, row, 0, column, 0}, p.rows - row, p.columns - column,
              epilogue);
    E::leave();
  }
}

/// out[e][n] = or += the sum over the expert's plan rows m of weight(m) rows[gather(m)][n], one
/// chain in their order: the gradient of a bias. A thread a column.
template <class S, class T, class R, class Sum>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(128)
    grouped_column_sums_kernel(const int* offsets, const S* rows, index stride, const int* gather,
                               RowWeight<R> weight, int columns, T* out, bool accumulate) {
  const int expert = static_cast<int>(blockIdx.y);
  const int column = static_cast<int>(blockIdx.x * 128 + threadIdx.x);
  const int begin = load<int>(offsets + expert);
  const int end = load<int>(offsets + expert + 1);
  if (column < columns && (begin < end || !accumulate)) {
    Sum sum = Sum(0);
    for (int m = begin; m < end; ++m) {
      const index row = gather == nullptr ? m : load<int>(gather + m);
      sum += weight.template at<Sum>(m) * to_sum<Sum>(load<S>(rows + row * stride + column));
    }
    T* const to = out + index(expert) * columns + column;
    store(to, from_sum<T>(accumulate ? to_sum<Sum>(load<T>(to)) + sum : sum));
  }
}

/// dots[m] = the sum of a row's segments, plus <rows[gather(m)], bias[e]> where there is a bias:
/// the gradient of a row's weight. One warp a row: segments in ascending order in lane 0; columns
/// by lanes, 32 apart, then lanes in pairs, near ones first.
template <class S, class Sum>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(128)
    grouped_row_dots_kernel(const int* offsets, int experts, const Sum* segments, int count,
                            const S* rows, index stride, const int* gather, const S* bias,
                            int columns, Sum* out, const int* scatter) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(gridDim.x) * 4;
  const int kept = load<int>(offsets + experts);
  int expert = 0;
  for (int m = static_cast<int>(blockIdx.x * 4 + threadIdx.x / 32); m < kept; m += warps) {
    while (load<int>(offsets + expert + 1) <= m) {
      ++expert;
    }
    Sum sum = Sum(0);
    if (lane == 0) {
      for (int i = 0; i < count; ++i) {
        sum += load<Sum>(segments + index(m) * count + i);
      }
    }
    if (bias != nullptr) {
      const index row = gather == nullptr ? m : load<int>(gather + m);
      for (int n = lane; n < columns; n += 32) {
        sum += to_sum<Sum>(load<S>(rows + row * stride + n)) *
               to_sum<Sum>(load<S>(bias + index(expert) * columns + n));
      }
      XMOE_UNROLL
      for (int distance = 1; distance < 32; distance *= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
      }
    }
    if (lane == 0) {
      store(out + (scatter == nullptr ? m : load<int>(scatter + m)), sum);
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
