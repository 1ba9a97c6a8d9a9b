// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/backend/cuda/tiles.cuh>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/math.hpp>
#include <xmoe/core/order.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/all.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/router/weigh/unit.hpp>

// The policies of the library as lanes compute them together: expert e is number e / Lanes of lane
// e % Lanes. The same bits as the policies' own row functions, whose order of sums this is.
namespace xmoe::inline XMOE_ABI::cuda::detail {

/// Running sums of math::sum and math::dot, hence lanes that may share a row.
template <class R>
inline constexpr int most_lanes = 128 / static_cast<int>(sizeof(R));

template <class R>
inline constexpr R minus_infinity = -math::infinity<R>;

// --- Scores. Experts beyond the last get 0.

template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_in_lanes(const score::Softmax&, const Run<R, Per>& z, int experts,
                                 Run<R, Per>& s) {
  using Group = LaneGroup<Lanes>;
  R top = minus_infinity<R>;
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    top = Group::lane() + i * Lanes < experts && z[i] > top ? z[i] : top;
  }
  top = Group::max(top);
  bool more = top != minus_infinity<R>;  // than nothing but -Inf
  R sum = R(0);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const bool there = Group::lane() + i * Lanes < experts;
    more = more || (there && z[i] != top);
    s[i] = there ? math::exp(z[i] - top) : R(0);
    sum = there ? sum + s[i] : sum;
  }
  const R total = R(1) / Group::sum(sum);
  const bool empty = !Group::any(more);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const bool there = Group::lane() + i * Lanes < experts;
    s[i] = empty || !there ? R(0) : s[i] * total;
  }
}
template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_in_lanes(const score::Sigmoid&, const Run<R, Per>& z, int experts,
                                 Run<R, Per>& s) {
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    s[i] = LaneGroup<Lanes>::lane() + i * Lanes < experts ? math::sigmoid(z[i]) : R(0);
  }
}
template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_in_lanes(const score::Identity&, const Run<R, Per>& z, int,
                                 Run<R, Per>& s) {
  s = z;
}

/// dscores to dlogits +=.
template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_backward_in_lanes(const score::Softmax&, const Run<R, Per>& s,
                                          const Run<R, Per>& ds, int experts, Run<R, Per>& dz) {
  using Group = LaneGroup<Lanes>;
  R dot = R(0);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    dot = Group::lane() + i * Lanes < experts ? multiply_add(ds[i], s[i], dot) : dot;
  }
  const R mean = Group::sum(dot);
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    dz[i] += s[i] * (ds[i] - mean);
  }
}
template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_backward_in_lanes(const score::Sigmoid&, const Run<R, Per>& s,
                                          const Run<R, Per>& ds, int, Run<R, Per>& dz) {
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    dz[i] += ds[i] * s[i] * (R(1) - s[i]);
  }
}
template <int Lanes, int Per, class R>
XMOE_DEVICE void scores_backward_in_lanes(const score::Identity&, const Run<R, Per>&,
                                          const Run<R, Per>& ds, int, Run<R, Per>& dz) {
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    dz[i] += ds[i];
  }
}

// --- The choice.

/// A selector of the library as numbers: experts from the best down, at most `limit`; if it
/// collects, at least `least` of them, and until their scores reach the threshold (inclusive: pass
/// it).
template <class R>
struct Picking {
  int limit = 0;
  bool collects = false;
  R threshold = R(0);
  bool inclusive = false;
  int least = 1;
  const R* bias = nullptr;  ///< [E] added for ordering only

  XMOE_DEVICE bool goes_on(int count, R mass) const {
    return count < limit &&
           (!collects || count < least || (inclusive ? mass <= threshold : mass < threshold));
  }
};

template <class R, class Own>
Picking<R> picking(const select::TopOne&, const Own&, int) {
  return {1};
}
template <class R, class Own>
Picking<R> picking(const select::TopK&, const Own&, int width) {
  return {width};
}
template <class R, class Own>
Picking<R> picking(const select::All&, const Own&, int width) {
  return {width};
}
template <class R, class Own>
Picking<R> picking(const select::Threshold& select, const Own&, int width) {
  const int least = select.min_experts < width ? static_cast<int>(select.min_experts) : width;
  return {width, true, static_cast<R>(select.threshold), select.inclusive, least};
}
template <class R, class Inner, class Own>
requires requires(const Inner& inner, const Own& own) { detail::picking<R>(inner, own, 0); }
Picking<R> picking(const select::Biased<Inner>& select, const Own& own, int width) {
  Picking<R> result = detail::picking<R>(select.inner, own, width);
  result.bias = own.bias.matrix(0);
  return result;
}

/// Whether lanes can take over a selector, a score.
template <class Select, class R, class Own>
concept PicksInLanes = requires(const Select& select, const Own& own) {
  detail::picking<R>(select, own, 0);
};
template <class Score>
concept ScoresInLanes = std::same_as<Score, score::Softmax> ||
    std::same_as<Score, score::Sigmoid> || std::same_as<Score, score::Identity>;

/// What is compared: the order code, and below all of them what is taken or may not be. NaN is
/// code 1 there.
template <class R>
using Key = std::conditional_t<sizeof(R) == 4, int, long long>;
template <class R>
inline constexpr Key<R> taken = sizeof(R) == 4 ? std::numeric_limits<int>::min()
                                               : std::numeric_limits<long long>::min();

template <class R>
XMOE_DEVICE Key<R> key_of(R value) {
  const auto code = static_cast<Key<R>>(order_code(SelectionKey<R>{value}));
  return code == taken<R> ? code + 1 : code;
}

/// Chooses; lane 0 of the group writes ids to `chosen` [limit], in shared memory. Returns how many.
/// A group that is not active chooses nothing.
template <int Lanes, int Per, class R>
XMOE_DEVICE int pick_in_lanes(const Picking<R>& how, const Run<R, Per>& z, const Run<R, Per>& s,
                              int experts, bool active, int* chosen) {
  using Group = LaneGroup<Lanes>;
  const int lane = Group::lane();
  Run<Key<R>, Per> key;
  XMOE_UNROLL
  for (int i = 0; i < Per; ++i) {
    const int e = lane + i * Lanes;
    key[i] = taken<R>;
    if (e < experts) {
      const R value = how.bias == nullptr ? s[i] : s[i] + load<R>(how.bias + e);
      const bool masked = is_negative_infinity(z[i]) || is_negative_infinity(value);
      key[i] = masked ? taken<R> : key_of(value);
    }
  }
  int count = 0;
  R mass = R(0);
  bool more = active && how.limit > 0;
  while (__any_sync(all_lanes, more ? 1 : 0) != 0) {
    Key<R> best = key[0];
    int own = 0;
    XMOE_UNROLL
    for (int i = 1; i < Per; ++i) {
      own = key[i] > best ? i : own;
      best = key[i] > best ? key[i] : best;
    }
    const Key<R> top = Group::max(best);
    const int expert = Group::min(best == top ? lane + own * Lanes : Lanes * Per);
    const int place = expert / Lanes;
    R score = R(0);
    XMOE_UNROLL
    for (int i = 0; i < Per; ++i) {
      score = i == place ? s[i] : score;
      key[i] = i == place && lane == expert % Lanes ? taken<R> : key[i];
    }
    if (how.collects) {
      score = Group::from(score, expert % Lanes);
    }
    more = more && top != taken<R>;
    if (more) {
      if (lane == 0) {
        store_shared(chosen + count, expert);
      }
      ++count;
      mass += score;
      more = how.goes_on(count, mass);
    }
  }
  return count;
}

/// Weights that depend on their own expert alone: every lane may make one.
template <class Weigh>
inline constexpr bool weighs_alone =
    std::same_as<Weigh, weigh::Raw> || std::same_as<Weigh, weigh::Unit>;

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
