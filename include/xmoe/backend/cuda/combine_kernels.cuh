// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda::detail {

inline constexpr int combine_warps = 4;  ///< of a block
inline constexpr int combine_packs = 4;  ///< of a lane

/// Numbers of a row that one warp takes.
template <int N>
inline constexpr int combine_part = 32 * combine_packs* N;

/// A lane's packs of one part of a row, N numbers each; what is beyond the row's end is left out.
template <class T, int N>
struct PartOfRow {
  using Packs = Run<Pack<T, N>, combine_packs>;

  static XMOE_DEVICE int column(int part, int i) {
    return part * combine_part<N> + (i * 32 + static_cast<int>(lane_id())) * N;
  }
  static XMOE_DEVICE void fetch(const T* row, int part, int dim, Packs& to) {
    XMOE_UNROLL
    for (int i = 0; i < combine_packs; ++i) {
      const int d = column(part, i);
      if (d + N <= dim) {
        to[i] = load<Pack<T, N>>(row + d);
      } else {
        XMOE_UNROLL
        for (int j = 0; j < N; ++j) {
          to[i].v[j] = d + j < dim ? load<T>(row + d + j) : T();
        }
      }
    }
  }
  static XMOE_DEVICE void put(T* row, int part, int dim, const Packs& from) {
    XMOE_UNROLL
    for (int i = 0; i < combine_packs; ++i) {
      const int d = column(part, i);
      if (d + N <= dim) {
        store(row + d, from[i]);
      } else {
        XMOE_UNROLL
        for (int j = 0; j < N; ++j) {
          if (d + j < dim) {
            store(row + d + j, from[i].v[j]);
          }
        }
      }
    }
  }
};

/// The rows of one token one after the other, the same in all lanes of the warp.
template <bool by_expert>
class TokenRows {
 public:
  static constexpr int none = std::numeric_limits<int>::max();

  XMOE_DEVICE TokenRows(const int* row, int count) : row_(row), count_(count) {}

  /// The next kept row and its slot; false: there are no more.
  XMOE_DEVICE bool next(int& row, int& slot) {
    if constexpr (by_expert) {  // rows are numbered by expert: the smallest one behind the last
      int best = none, mine = 0;
      for (int r = static_cast<int>(lane_id()); r < count_; r += 32) {
        const int m = load<int>(row_ + r);
        const bool take = m > last_ && m < best;
        best = take ? m : best;
        mine = take ? r : mine;
      }
      row = __reduce_min_sync(all_lanes, best);
      if (row == none) {
        return false;
      }
      const unsigned there = __ballot_sync(all_lanes, best == row ? 1 : 0);
      slot = __shfl_sync(all_lanes, mine, __ffs(static_cast<int>(there)) - 1);
      last_ = row;
      return true;
    } else {
      while (++last_ < count_) {
        row = load<int>(row_ + last_);
        slot = last_;
        if (row >= 0) {
          return true;
        }
      }
      return false;
    }
  }

 private:
  const int* row_;  ///< of the token's first slot
  int count_;
  int last_ = -1;
};

template <class R, class F, class S>
struct SumRows {
  const int* count;
  const R* weight;  ///< null: all 1
  DevicePlan plan;
  const F* rows;
  index row_stride;
  S* out;
  index out_stride;
  int dim;
};

/// A warp a token and part of its row.
template <bool by_expert, int N, class R, class F, class S>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(32 * combine_warps, 2)
    sum_rows_kernel(SumRows<R, F, S> a, int parts) {
  using Sum = sum_type<S>;
  const index item = static_cast<index>(block_index()) * combine_warps + thread_index() / 32;
  const int part = static_cast<int>(item % parts);
  if (item / parts >= a.plan.tokens) {
    return;
  }
  const int t = static_cast<int>(item / parts);
  const index slots = static_cast<index>(t) * a.plan.width;
  TokenRows<by_expert> rows(a.plan.row + slots, load<int>(a.count + t));
  Run<Sum, combine_packs * N> sums;
  XMOE_UNROLL
  for (int i = 0; i < combine_packs * N; ++i) {
    sums[i] = Sum(0);
  }
  int row = 0, slot = 0;
  while (rows.next(row, slot)) {
    const Sum weight =
        a.weight == nullptr ? Sum(1) : static_cast<Sum>(load<R>(a.weight + slots + slot));
    typename PartOfRow<F, N>::Packs packs;
    PartOfRow<F, N>::fetch(a.rows + row * a.row_stride, part, a.dim, packs);
    XMOE_UNROLL
    for (int i = 0; i < combine_packs * N; ++i) {
      sums[i] = multiply_add(weight, to_sum<Sum>(packs[i / N].v[i % N]), sums[i]);
    }
  }
  typename PartOfRow<S, N>::Packs packs;
  XMOE_UNROLL
  for (int i = 0; i < combine_packs * N; ++i) {
    packs[i / N].v[i % N] = from_sum<S>(sums[i]);
  }
  PartOfRow<S, N>::put(a.out + t * a.out_stride, part, a.dim, packs);
}

/// A warp a row and part of it, until there are no more.
template <int N, class R, class S, class F>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(32 * combine_warps, 2)
    spread_rows_kernel(const R* weights, DevicePlan plan, const S* dy, index dy_stride, F* drows,
                       index row_stride, int dim, int parts) {
  using Sum = sum_type<S>;
  const index items = static_cast<index>(load<int>(plan.offsets + plan.experts)) * parts;
  const index step = static_cast<index>(block_count()) * combine_warps;
  for (index item = static_cast<index>(block_index()) * combine_warps + thread_index() / 32;
       item < items; item += step) {
    const index m = item / parts;
    const int part = static_cast<int>(item % parts);
    const Sum weight = static_cast<Sum>(load<R>(weights + load<int>(plan.slot + m)));
    typename PartOfRow<S, N>::Packs from;
    typename PartOfRow<F, N>::Packs to;
    PartOfRow<S, N>::fetch(dy + load<int>(plan.token + m) * dy_stride, part, dim, from);
    XMOE_UNROLL
    for (int i = 0; i < combine_packs * N; ++i) {
      to[i / N].v[i % N] = from_sum<F>(weight * to_sum<Sum>(from[i / N].v[i % N]));
    }
    PartOfRow<F, N>::put(drows + m * row_stride, part, dim, to);
  }
}

/// A warp a row, until there are no more; slots without a row on the way.
template <class R, class S, class F>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(32 * combine_warps, 2)
    weight_gradient_kernel(DevicePlan plan, const S* dy, index dy_stride, const F* rows,
                           index row_stride, int dim, R* dweight) {
  const int kept = load<int>(plan.offsets + plan.experts);
  const int warps = block_count() * combine_warps;
  const int lane = static_cast<int>(lane_id());
  for (int m = block_index() * combine_warps + thread_index() / 32; m < kept; m += warps) {
    const S* const a = dy + load<int>(plan.token + m) * dy_stride;
    const F* const b = rows + m * row_stride;
    R sum = R(0);
    for (int d = lane; d < dim; d += 32) {
      sum = multiply_add(to_sum<R>(load<S>(a + d)), to_sum<R>(load<F>(b + d)), sum);
    }
    sum = LaneGroup<32>::sum(sum);
    if (lane == 0) {
      store(dweight + load<int>(plan.slot + m), sum);
    }
  }
  const index slots = static_cast<index>(plan.tokens) * plan.width;
  const index step = static_cast<index>(block_count()) * thread_count();
  for (index i = static_cast<index>(block_index()) * thread_count() + thread_index(); i < slots;
       i += step) {
    if (load<int>(plan.row + i) < 0) {
      store(dweight + i, R(0));
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
