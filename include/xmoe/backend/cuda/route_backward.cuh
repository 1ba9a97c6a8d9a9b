// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/route_forward.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// What the backward kernels of the router see.
template <class R>
struct RouteGradient {
  DeviceRouting<R> routing;
  const std::uint8_t* valid = nullptr;  ///< [T]; null: all are tokens
  const R* dweight = nullptr;           ///< [T,width]; 0 for dropped slots
  const R* dscores = nullptr;           ///< [T,E] from losses; may be null
  const R* dlogits = nullptr;           ///< [T,E] from losses; may be null
  R* out = nullptr;                     ///< [T,E] gradient of the logits; zeros for padding
  Mode mode = Mode::train;
  Random random = {};  ///< as in forward
};

namespace detail {

/// Shared memory of one token: scores, logits, their gradients, weights' gradients, weights, ids.
template <class R>
XMOE_HD constexpr int gradient_row_numbers(int experts, int width) {
  return (4 * experts + 2 * width) | 1;
}
template <class R>
XMOE_HD constexpr std::size_t gradient_row_bytes(int experts, int width) {
  return static_cast<std::size_t>(gradient_row_numbers<R>(experts, width)) * sizeof(R) +
         static_cast<std::size_t>(width | 1) * sizeof(int);
}

/// One token's arrays.
template <class R>
struct GradientRow {
  R *scores, *logits, *dscores, *dlogits, *dweight, *weight;
  int* chosen;

  /// Row `r` of `rows`: numbers of all rows first, then ids of all rows.
  static XMOE_DEVICE GradientRow at(unsigned char* memory, int r, int rows, int experts,
                                    int width) {
    const int numbers = gradient_row_numbers<R>(experts, width);
    R* const first = reinterpret_cast<R*>(memory) + r * numbers;
    int* const ids = reinterpret_cast<int*>(reinterpret_cast<R*>(memory) + rows * numbers);
    return {first,
            first + experts,
            first + 2 * experts,
            first + 3 * experts,
            first + 4 * experts,
            first + 4 * experts + width,
            ids + r * (width | 1)};
  }
  XMOE_DEVICE WeighRow<R> row(RowSite site, int experts, int first, int count) const {
    return {{logits, experts}, {scores, experts}, {chosen + first, count}, site};
  }
  template <class Weigh>
  XMOE_DEVICE void backward(const Weigh& weigh, RowSite site, int experts, int first,
                            int count) const {
    weigh.row_backward(row(site, experts, first, count), VectorView<const R>{weight + first, count},
                       VectorView<const R>{dweight + first, count}, VectorView<R>{dscores, experts},
                       VectorView<R>{dlogits, experts});
  }
  /// Part `part` of `parts` of what is read.
  XMOE_DEVICE void fetch(const RouteGradient<R>& a, int t, int count, int part, int parts) const {
    const index at = static_cast<index>(t) * a.routing.experts;
    for (int e = part; e < a.routing.experts; e += parts) {
      store_shared(scores + e, load<R>(a.routing.scores + at + e));
      store_shared(logits + e, load<R>(a.routing.logits + at + e));
      store_shared(dscores + e, a.dscores == nullptr ? R(0) : load<R>(a.dscores + at + e));
      store_shared(dlogits + e, a.dlogits == nullptr ? R(0) : load<R>(a.dlogits + at + e));
    }
    const index slots = static_cast<index>(t) * a.routing.width;
    for (int r = part; r < count; r += parts) {
      store_shared(chosen + r, load<int>(a.routing.expert + slots + r));
      store_shared(weight + r, load<R>(a.routing.weight + slots + r));
      store_shared(dweight + r, load<R>(a.dweight + slots + r));
    }
  }
};

/// 0 for padding and beyond the last token.
template <class R>
XMOE_DEVICE int gradient_count(const RouteGradient<R>& a, int t) {
  return a.valid == nullptr || load<std::uint8_t>(a.valid + t) != 0 ? load<int>(a.routing.count + t)
                                                                    : -1;
}

/// A group of lanes a token.
template <int Lanes, int Per, class Score, class Weigh, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(route_threads, 2)
    route_lanes_backward_kernel(RouteGradient<R> a, Score score, Weigh weigh) {
  using Group = LaneGroup<Lanes>;
  XMOE_SHARED(unsigned char, memory);
  constexpr int rows = route_threads / Lanes;
  const int experts = a.routing.experts;
  const int group = thread_index() / Lanes;
  const int t = block_index() * rows + group;
  const int lane = Group::lane();
  const bool inside = t < a.routing.tokens;
  const int count = inside ? gradient_count(a, t) : -1;
  const auto row = GradientRow<R>::at(memory, group, rows, experts, a.routing.width);
  if (count >= 0) {
    row.fetch(a, t, count, lane, Lanes);
  }
  XMOE_WARP_BARRIER(all_lanes);
  if (weighs_alone<Weigh>) {  // the ids of a token differ, and so do the places that are added to
    for (int r = lane; r < count; r += Lanes) {
      row.backward(weigh, site_of(a, t), experts, r, 1);
    }
  } else if (lane == 0 && count > 0) {
    row.backward(weigh, site_of(a, t), experts, 0, count);
  }
  XMOE_WARP_BARRIER(all_lanes);
  Run<R, Per> s, ds, dz;
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const int e = lane + i * Lanes;
    const bool there = count >= 0 && e < experts;
    s[i] = there ? load_shared<R>(row.scores + e) : R(0);
    ds[i] = there ? load_shared<R>(row.dscores + e) : R(0);
    dz[i] = there ? load_shared<R>(row.dlogits + e) : R(0);
  }
  scores_backward_in_lanes<Lanes>(score, s, ds, experts, dz);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const int e = lane + i * Lanes;
    if (inside && e < experts) {
      store(a.out + static_cast<index>(t) * experts + e, dz[i]);
    }
  }
}

/// A thread a token, by the policies' own functions.
template <class Score, class Weigh, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(route_threads, 2)
    route_any_backward_kernel(RouteGradient<R> a, Score score, Weigh weigh, int rows) {
  XMOE_SHARED(unsigned char, memory);
  const int experts = a.routing.experts;
  const int width = a.routing.width;
  const int token = block_index() * rows;
  const int left = a.routing.tokens - token;
  const int here = left < rows ? left : rows;
  const int warps = route_threads / 32;
  for (int r = thread_index() / 32; r < here; r += warps) {
    const int count = gradient_count(a, token + r);
    if (count >= 0) {
      GradientRow<R>::at(memory, r, rows, experts, width)
          .fetch(a, token + r, count, static_cast<int>(lane_id()), 32);
    }
  }
  XMOE_BARRIER();
  if (thread_index() < here) {
    const int count = gradient_count(a, token + thread_index());
    const auto row = GradientRow<R>::at(memory, thread_index(), rows, experts, width);
    if (count >= 0) {
      row.backward(weigh, site_of(a, token + thread_index()), experts, 0, count);
      score.row_backward(
          VectorView<const R>{row.logits, experts}, VectorView<const R>{row.scores, experts},
          VectorView<const R>{row.dscores, experts}, VectorView<R>{row.dlogits, experts});
    }
  }
  XMOE_BARRIER();
  for (int i = thread_index(); i < here * experts; i += route_threads) {
    const int r = i / experts;
    const auto row = GradientRow<R>::at(memory, r, rows, experts, width);
    const bool padding = a.valid != nullptr && load<std::uint8_t>(a.valid + token + r) == 0;
    store(a.out + static_cast<index>(token) * experts + i,
          padding ? R(0) : load_shared<R>(row.dlogits + i % experts));
  }
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
