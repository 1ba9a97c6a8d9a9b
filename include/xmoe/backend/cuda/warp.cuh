// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/platform.cuh>

// Sums, extremes and prefix sums over the lanes of a warp and the threads of a block. All lanes of
// the warp, all threads of the block have to call; blocks have one dimension and whole warps. Each
// is combined in one fixed order that depends on nothing but the number of threads.

namespace xmoe::inline XMOE_ABI::cuda {

inline constexpr unsigned all_lanes = 0xffffffffu;

XMOE_DEVICE inline unsigned lane_id() { return threadIdx.x % 32; }
XMOE_DEVICE inline unsigned warp_id() { return threadIdx.x / 32; }

/// a unless b is smaller or NaN; a on a tie.
struct Smaller {
  template <class T>
  XMOE_DEVICE T operator()(T a, T b) const {
    return b < a || b != b ? b : a;
  }
};
/// a unless b is larger or NaN; a on a tie.
struct Larger {
  template <class T>
  XMOE_DEVICE T operator()(T a, T b) const {
    return b > a || b != b ? b : a;
  }
};
struct Plus {
  template <class T>
  XMOE_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

/// combine over 32 values, as a balanced tree: neighbours first, the lower lane on the left. Every
/// lane gets the same bits. Cost: 5 shuffles.
template <class T, class Combine>
XMOE_DEVICE T warp_reduce(T value, Combine combine) {
  XMOE_UNROLL
  for (unsigned distance = 1; distance < 32; distance *= 2) {
    const T other = __shfl_xor_sync(all_lanes, value, static_cast<int>(distance));
    value = (lane_id() & distance) == 0 ? combine(value, other) : combine(other, value);
  }
  return value;
}
template <class T>
XMOE_DEVICE T warp_sum(T value) {
  return warp_reduce(value, Plus{});
}
/// NaN if one is NaN.
template <class T>
XMOE_DEVICE T warp_max(T value) {
  return warp_reduce(value, Larger{});
}
template <class T>
XMOE_DEVICE T warp_min(T value) {
  return warp_reduce(value, Smaller{});
}

/// A key and where it came from.
template <class T>
struct Indexed {
  T key;
  int index;
};

/// The largest key; ties: the lower index. A NaN key loses against every other, NaN among
/// themselves are a tie. Keys may be order codes, which are never NaN. Cost: 10 shuffles.
template <class T>
XMOE_DEVICE Indexed<T> warp_argmax(T key, int index) {
  XMOE_UNROLL
  for (int distance = 1; distance < 32; distance *= 2) {
    const T other = __shfl_xor_sync(all_lanes, key, distance);
    const int from = __shfl_xor_sync(all_lanes, index, distance);
    const bool nan = key != key, other_nan = other != other;
    const bool tie = nan || other_nan ? nan == other_nan : key == other;
    const bool behind = nan || other_nan ? nan : key < other;
    const bool take = tie ? from < index : behind;
    key = take ? other : key;
    index = take ? from : index;
  }
  return {key, index};
}

/// The sum of the values of this lane and those before it. Cost: 5 shuffles.
template <class T>
XMOE_DEVICE T warp_inclusive_sum(T value) {
  XMOE_UNROLL
  for (unsigned distance = 1; distance < 32; distance *= 2) {
    const T before = __shfl_up_sync(all_lanes, value, distance);
    value = lane_id() >= distance ? before + value : value;
  }
  return value;
}

/// Sums before a thread, and over all.
template <class T>
struct Scanned {
  T before, total;
};

/// The sum of the values of the lanes before this one, and of all. Exact for integers; for floats
/// in a fixed order. Cost: 7 shuffles.
template <class T>
XMOE_DEVICE Scanned<T> warp_exclusive_sum(T value) {
  const T inclusive = warp_inclusive_sum(value);
  const T before = __shfl_up_sync(all_lanes, inclusive, 1);
  return {lane_id() == 0 ? T(0) : before, __shfl_sync(all_lanes, inclusive, 31)};
}

/// The sum over the block, the same bits in every thread: warps first, then over warps.
///   scratch   [32] in shared memory; free again after the call
///   cost      2 barriers, 10 shuffles
template <class T>
XMOE_DEVICE T block_sum(T value, T* scratch) {
  const T of_warp = warp_sum(value);
  if (lane_id() == 0) {
    store_shared(scratch + warp_id(), of_warp);
  }
  XMOE_BARRIER();
  const T mine = lane_id() < blockDim.x / 32 ? load_shared<T>(scratch + lane_id()) : T(0);
  const T sum = warp_sum(mine);
  XMOE_BARRIER();
  return sum;
}

/// The sum over the threads before this one, and over all. As block_sum.
///   scratch   [32] in shared memory; free again after the call
///   cost      2 barriers, 14 shuffles
template <class T>
XMOE_DEVICE Scanned<T> block_exclusive_sum(T value, T* scratch) {
  const Scanned<T> in_warp = warp_exclusive_sum(value);
  if (lane_id() == 0) {
    store_shared(scratch + warp_id(), in_warp.total);
  }
  XMOE_BARRIER();
  const T mine = lane_id() < blockDim.x / 32 ? load_shared<T>(scratch + lane_id()) : T(0);
  const Scanned<T> warps = warp_exclusive_sum(mine);
  const T before = __shfl_sync(all_lanes, warps.before, static_cast<int>(warp_id()));
  XMOE_BARRIER();
  return {before + in_warp.before, warps.total};
}

}  // namespace xmoe::inline XMOE_ABI::cuda
