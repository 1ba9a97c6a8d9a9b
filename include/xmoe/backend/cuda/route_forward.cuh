// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/route_lanes.cuh>
#include <xmoe/concepts/weigh.hpp>
#include <xmoe/core/bits.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// The first logit that is NaN or +Inf: token * experts + expert, over tokens that are not padding.
/// All ones, which cudaMemset writes byte by byte, while there is none.
using FirstNonfinite = unsigned long long;
inline constexpr FirstNonfinite no_nonfinite = ~FirstNonfinite(0);

/// What the kernels of the router see.
template <class R>
struct RouteArguments {
  DeviceRouting<R> routing;             ///< logits are read, the rest is written
  const std::uint8_t* valid = nullptr;  ///< [T] 0 = padding; null: all are tokens
  FirstNonfinite* nonfinite = nullptr;  ///< null: whatever comes is routed
  Mode mode = Mode::infer;
  Random random = {};  ///< base stream of the call
};

namespace detail {

/// A row's policies as one argument.
template <class Score, class Select, class Weigh, class Own>
struct RowPolicies {
  Score score;
  Select select;
  Weigh weigh;
  Own own;
};

/// Where the row functions of token `t` run; of RouteArguments and RouteGradient.
template <class Arguments>
XMOE_DEVICE RowSite site_of(const Arguments& a, int t) {
  return {t, 0, a.mode, a.random};
}
template <class R>
XMOE_DEVICE bool is_token(const RouteArguments<R>& a, int t) {
  return a.valid == nullptr || load<std::uint8_t>(a.valid + t) != 0;
}
template <class R>
XMOE_DEVICE void note_nonfinite(const RouteArguments<R>& a, index at, R logit) {
  if (a.nonfinite != nullptr && is_nan_or_positive_infinity(logit)) {
    atomicMin(a.nonfinite, static_cast<FirstNonfinite>(at));
  }
}

/// Shared memory of one token in the kernel of lanes: logits, scores, weights, then ids.
template <class R>
XMOE_HD constexpr int lane_row_bytes(int experts, int width) {
  const int numbers = (2 * experts + width) * static_cast<int>(sizeof(R));
  const int ids = width * static_cast<int>(sizeof(int));
  return (numbers + ids + 7) / 8 * 8;
}

inline constexpr int route_threads = 128;

/// A group of lanes a token; scores live in registers, Per an expert's lane.
template <int Lanes, int Per, class Score, class Weigh, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(route_threads, 2)
    route_lanes_kernel(RouteArguments<R> a, Score score, Picking<R> how, Weigh weigh) {
  using Group = LaneGroup<Lanes>;
  XMOE_SHARED(unsigned char, memory);
  const int experts = a.routing.experts;
  const int width = a.routing.width;
  const int group = thread_index() / Lanes;
  const int t = block_index() * (route_threads / Lanes) + group;
  const int lane = Group::lane();
  const bool inside = t < a.routing.tokens;
  const bool active = inside && is_token(a, t);
  R* const logits = reinterpret_cast<R*>(memory + group * lane_row_bytes<R>(experts, width));
  R* const scores = logits + experts;
  R* const weights = scores + experts;
  int* const chosen = reinterpret_cast<int*>(weights + width);

  const index row = static_cast<index>(t) * experts;
  Run<R, Per> z, s;
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const int e = lane + i * Lanes;
    z[i] = R(0);
    if (inside && e < experts) {
      z[i] = load<R>(a.routing.logits + row + e);
      store_shared(logits + e, z[i]);
      if (active) {
        note_nonfinite(a, row + e, z[i]);
      }
    }
  }
  scores_in_lanes<Lanes>(score, z, experts, s);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const int e = lane + i * Lanes;
    if (inside && e < experts) {
      store_shared(scores + e, s[i]);
      store(a.routing.scores + row + e, s[i]);
    }
  }
  const int count = pick_in_lanes<Lanes>(how, z, s, experts, active, chosen);
  XMOE_WARP_BARRIER(all_lanes);
  if (!weighs_alone<Weigh>) {
    if (lane == 0 && count > 0) {
      weigh.row(WeighRow<R>{{logits, experts}, {scores, experts}, {chosen, count}, site_of(a, t)},
                VectorView<R>{weights, count});
    }
    XMOE_WARP_BARRIER(all_lanes);
  }
  if (!inside) {
    return;
  }
  if (lane == 0) {
    store(a.routing.count + t, count);
  }
  const index first = static_cast<index>(t) * width;
  for (int r = lane; r < count; r += Lanes) {
    if (weighs_alone<Weigh>) {
      weigh.row(WeighRow<R>{{logits, experts}, {scores, experts}, {chosen + r, 1}, site_of(a, t)},
                VectorView<R>{weights + r, 1});
    }
    const int expert = load_shared<int>(chosen + r);
    store(a.routing.expert + first + r, expert);
    store(a.routing.weight + first + r, load_shared<R>(weights + r));
    store(a.routing.score + first + r, load_shared<R>(scores + expert));
  }
}

/// Numbers of a row in shared memory that a thread reads alone: an odd distance, so that threads
/// side by side meet different banks.
XMOE_HD constexpr int odd_row(int experts) { return experts | 1; }

/// Shared memory of one token in the kernel for any policy.
template <class R>
constexpr std::size_t any_row_bytes(int experts) {
  return static_cast<std::size_t>(odd_row(experts)) * (3 * sizeof(R) + sizeof(Candidate<R>));
}
/// Tokens of a block: as many rows as the ordinary shared memory holds, at least one.
constexpr int any_rows(std::size_t row_bytes) {
  const std::size_t fitting = (std::size_t(48) << 10) / row_bytes;
  return fitting > route_threads ? route_threads : (fitting < 1 ? 1 : static_cast<int>(fitting));
}

/// A thread a token, on rows in shared memory, by the policies' own functions.
template <class R, class Policies>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(route_threads, 2)
    route_any_kernel(RouteArguments<R> a, Policies policies, int rows) {
  XMOE_SHARED(unsigned char, memory);
  const int experts = a.routing.experts;
  const int width = a.routing.width;
  const int pitch = odd_row(experts);
  auto* const candidates = reinterpret_cast<Candidate<R>*>(memory);
  R* const logits = reinterpret_cast<R*>(candidates + rows * pitch);
  R* const scores = logits + rows * pitch;
  R* const changed = scores + rows * pitch;
  const int token = block_index() * rows;
  const int left = a.routing.tokens - token;
  const int here = left < rows ? left : rows;
  const index first = static_cast<index>(token) * experts;
  for (int i = thread_index(); i < here * experts; i += route_threads) {
    const int r = i / experts;
    const R z = load<R>(a.routing.logits + first + i);
    store_shared(logits + r * pitch + i % experts, z);
    if (is_token(a, token + r)) {
      note_nonfinite(a, first + i, z);
    }
  }
  XMOE_BARRIER();
  if (thread_index() < here) {
    const int t = token + thread_index();
    const index slots = static_cast<index>(t) * width;
    const VectorView<const R> z{logits + thread_index() * pitch, experts};
    const VectorView<R> s{scores + thread_index() * pitch, experts};
    policies.score.row(z, s);
    int count = 0;
    if (is_token(a, t)) {
      const SelectRow<R> row{s,
                             {},
                             {a.routing.expert + slots, width},
                             {candidates + thread_index() * pitch, experts},
                             z,
                             {changed + thread_index() * pitch, experts},
                             site_of(a, t)};
      if constexpr (requires { policies.select.row(row, policies.own); }) {
        count = static_cast<int>(policies.select.row(row, policies.own));
      } else {
        count = static_cast<int>(policies.select.row(row));
      }
      policies.weigh.row(WeighRow<R>{z, s, {a.routing.expert + slots, count}, site_of(a, t)},
                         VectorView<R>{a.routing.weight + slots, count});
      for (int r = 0; r < count; ++r) {
        store(a.routing.score + slots + r, s[load<int>(a.routing.expert + slots + r)]);
      }
    }
    store(a.routing.count + t, count);
  }
  XMOE_BARRIER();
  for (int i = thread_index(); i < here * experts; i += route_threads) {
    store(a.routing.scores + first + i, load_shared<R>(scores + i / experts * pitch + i % experts));
  }
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
