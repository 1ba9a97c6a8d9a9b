// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/epilogue.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// Sum over a segment of the products of its lanes, the same in all of its lanes: first each lane's
/// own in ascending order, then pairs of lanes, near ones first.
template <class Sum, int V>
XMOE_DEVICE Sum segment_dot(const Run<Sum, V>& a, const Run<Sum, V>& b) {
  Sum sum = Sum(0);
  XMOE_UNROLL
  for (int i = 0; i < V; ++i) {
    sum += a[i] * b[i];
  }
  XMOE_UNROLL
  for (int distance = 1; distance < segment / V; distance *= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  }
  return sum;
}

/// Stores the dot product of a segment, one for all of its lanes.
template <class Sum, int V>
XMOE_DEVICE void store_dot(Sum* dots, int segments, const Place& at, const Run<Sum, V>& a,
                           const Run<Sum, V>& b) {
  if (dots != nullptr) {
    const Sum sum = segment_dot(a, b);
    if (at.count > 0 && at.column % segment == 0) {
      store(dots + index(at.row) * segments + at.column / segment, sum);
    }
  }
}

}  // namespace detail

/// Backward of y = w W2 Act(before): the sums are dy W2, the gradient of the unweighted
/// activations.
///
///   out     dbefore = w sums Act'(before); activation = w Act(before), the rows' operand of W2's
///           gradient; dots = <sums, Act(before)> by segments of 32 columns, for dw
template <class Act, class T, class R, class Sum>
struct StoreActivationGradient {
  static constexpr bool pair = false;
  EpilogueRows<const T> before;  ///< [M,H]
  EpilogueRows<T> dbefore;       ///< [M,H]
  EpilogueRows<T> activation;    ///< [M,H] or absent
  RowWeight<R> weight{};
  Sum* dots = nullptr;  ///< [M,segments] or null
  int segments = 0;     ///< ceil(H / 32)

  template <int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    Run<Sum, V> pre{}, value{}, slope{};
    const bool exists = at.count > 0;
    if (exists) {
      detail::load_run(before.at(at.row, at.column), at.count, before.aligned, pre);
    }
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      value[i] = i < at.count ? Act::value(pre[i]) : Sum(0);
    }
    detail::store_dot(dots, segments, at, sums, value);
    if (exists) {
      const Sum w = weight.template at<Sum>(at.row);
      XMOE_UNROLL
      for (int i = 0; i < V; ++i) {
        slope[i] = w * sums[i] * Act::slope(pre[i]);
        value[i] *= w;
      }
      detail::store_run(dbefore.at(at.row, at.column), at.count, dbefore.aligned, slope);
      if (activation.data != nullptr) {
        detail::store_run(activation.at(at.row, at.column), at.count, activation.aligned, value);
      }
    }
  }
};

/// Backward of y = w W2 (Act(gate) up): the sums are dy W2.
///
///   out     dbefore = w sums up Act'(gate) in columns 0 .. H-1, w sums Act(gate) in H .. 2H-1;
///           activation = w Act(gate) up; dots = <sums, Act(gate) up> by segments of 32 columns
template <class Act, class T, class R, class Sum>
struct StoreGluGradient {
  static constexpr bool pair = false;
  EpilogueRows<const T> before;  ///< [M,2H], gates then ups
  EpilogueRows<T> dbefore;       ///< [M,2H]
  EpilogueRows<T> activation;    ///< [M,H] or absent
  RowWeight<R> weight{};
  Sum* dots = nullptr;  ///< [M,segments] or null
  int segments = 0;     ///< ceil(H / 32)
  int hidden = 0;       ///< H

  template <int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    Run<Sum, V> gate{}, up{}, value{};
    const bool exists = at.count > 0;
    const bool ups_aligned = hidden % V == 0;
    if (exists) {
      detail::load_run(before.at(at.row, at.column), at.count, before.aligned, gate);
      detail::load_run(before.at(at.row, hidden + at.column), at.count,
                       before.aligned && ups_aligned, up);
    }
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      value[i] = i < at.count ? Act::value(gate[i]) * up[i] : Sum(0);
    }
    detail::store_dot(dots, segments, at, sums, value);
    if (exists) {
      const Sum w = weight.template at<Sum>(at.row);
      XMOE_UNROLL
      for (int i = 0; i < V; ++i) {
        const Sum dgate = w * sums[i] * up[i] * Act::slope(gate[i]);
        up[i] = w * sums[i] * Act::value(gate[i]);
        gate[i] = dgate;
        value[i] *= w;
      }
      detail::store_run(dbefore.at(at.row, at.column), at.count, dbefore.aligned, gate);
      detail::store_run(dbefore.at(at.row, hidden + at.column), at.count,
                        dbefore.aligned && ups_aligned, up);
      if (activation.data != nullptr) {
        detail::store_run(activation.at(at.row, at.column), at.count, activation.aligned, value);
      }
    }
  }
};

/// The gradient of the weights: dw = sums, or dw += sums.
template <class T>
struct StoreWeightGradient {
  static constexpr bool pair = false;
  T* data = nullptr;     ///< [E,N,K]
  index matrix = 0;      ///< between experts
  index stride = 0;      ///< between rows
  bool aligned = false;  ///< all three are multiples of 16 bytes
  bool accumulate = true;

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    if (at.count > 0) {
      T* const to = data + at.expert * matrix + at.row * stride + at.column;
      Run<Sum, V> values{};
      if (accumulate) {
        detail::load_run(static_cast<const T*>(to), at.count, aligned, values);
      }
      XMOE_UNROLL
      for (int i = 0; i < V; ++i) {
        values[i] = accumulate ? values[i] + sums[i] : sums[i];
      }
      detail::store_run(to, at.count, aligned, values);
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda
