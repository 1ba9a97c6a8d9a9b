// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/warp.cuh>

#include <cmath>

namespace xmoe::inline XMOE_ABI::cuda {

/// Numbers of the thread, block and grid as signed integers, as sizes are.
XMOE_DEVICE inline int thread_index() { return static_cast<int>(threadIdx.x); }
XMOE_DEVICE inline int block_index() { return static_cast<int>(blockIdx.x); }
XMOE_DEVICE inline int thread_count() { return static_cast<int>(blockDim.x); }
XMOE_DEVICE inline int block_count() { return static_cast<int>(gridDim.x); }

/// c + a b, rounded once; in the emulation on a target without such an instruction twice, as the
/// CPU backend does there.
template <class R>
XMOE_DEVICE R multiply_add(R a, R b, R c) {
#if defined(__CUDACC__) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  using std::fma;
  return fma(a, b, c);
#else
  return c + a * b;
#endif
}

/// A part of a warp that works on one row: Lanes = 8, 16 or 32 neighbouring lanes. All groups of a
/// warp have to call together; each gets its own result, the same in all of its lanes.
template <int Lanes>
struct LaneGroup {
  static_assert(Lanes == 8 || Lanes == 16 || Lanes == 32);

  static XMOE_DEVICE int lane() { return thread_index() % Lanes; }

  template <class T>
  static XMOE_DEVICE T from(T value, int lane) {
    return __shfl_sync(all_lanes, value, lane, Lanes);
  }
  /// Combined as a tree: halves first, as math::sum does with its running sums.
  template <class T, class Combine>
  static XMOE_DEVICE T reduce(T value, Combine combine) {
    XMOE_UNROLL
    for (int distance = Lanes / 2; distance > 0; distance /= 2) {
      value = combine(value, __shfl_xor_sync(all_lanes, value, distance));
    }
    return value;
  }
  template <class T>
  static XMOE_DEVICE T sum(T value) {
    return reduce(value, Plus{});
  }
  /// Of integers, or of numbers without NaN.
  template <class T>
  static XMOE_DEVICE T max(T value) {
    if constexpr (Lanes == 32 && std::is_same_v<T, int>) {
      return __reduce_max_sync(all_lanes, value);
    } else {
      return reduce(value, Larger{});
    }
  }
  static XMOE_DEVICE int min(int value) {
    if constexpr (Lanes == 32) {
      return __reduce_min_sync(all_lanes, value);
    } else {
      return reduce(value, Smaller{});
    }
  }
  /// Whether it holds in one lane of the group.
  static XMOE_DEVICE bool any(bool condition) {
    const unsigned votes = __ballot_sync(all_lanes, condition ? 1 : 0);
    if constexpr (Lanes == 32) {
      return votes != 0;
    } else {
      const unsigned mine = ((1u << Lanes) - 1u) << (lane_id() / Lanes * Lanes);
      return (votes & mine) != 0;
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda
