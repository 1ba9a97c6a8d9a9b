// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// Which rows LoadBalance averages, see loss::over.
inline constexpr int over_scores = 0;
inline constexpr int over_normalized_scores = 1;
inline constexpr int over_softmax_of_logits = 2;

inline constexpr int loss_threads = 128;
inline constexpr int most_loss_blocks = 256;

/// Blocks that share the tokens; depends on nothing but their number, since sums do.
inline int loss_blocks(int tokens) {
  const int needed = (tokens + loss_threads / 32 - 1) / (loss_threads / 32);
  return needed < 1 ? 1 : (needed < most_loss_blocks ? needed : most_loss_blocks);
}

template <class R>
struct LossScratch {
  double* partial;  ///< [most_loss_blocks]
  double* unit;     ///< [1]
  double* share;    ///< [E]
  R* slope;         ///< [E]
  int* counts;      ///< [E]

  LossScratch(void* memory, int experts)
      : partial(static_cast<double*>(memory)),
        unit(partial + most_loss_blocks),
        share(unit + 4),  // at a sector's begin

        slope(reinterpret_cast<R*>(share + experts)),
        counts(reinterpret_cast<int*>(slope + experts)) {}
  static std::size_t bytes(int experts) {
    return (most_loss_blocks + 4) * sizeof(double) +
           static_cast<std::size_t>(experts) * (sizeof(double) + sizeof(R) + sizeof(int));
  }
};

template <class R>
XMOE_DEVICE int valid_tokens(const DeviceRouting<R>& routing) {
  return routing.valid_tokens == nullptr ? routing.tokens : load<int>(routing.valid_tokens);
}

/// counts[e] += choices of e: first ones, or all. Whole numbers, hence in any order.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(256)
    balance_count_kernel(DeviceRouting<R> routing, bool all_ranks, int* counts) {
  XMOE_SHARED(int, count);
  for (int e = thread_index(); e < routing.experts; e += 256) {
    store_shared(count + e, 0);
  }
  XMOE_BARRIER();
  const int t = block_index() * 256 + thread_index();
  if (t < routing.tokens) {
    const int chosen = load<int>(routing.count + t);
    const int counted = all_ranks || chosen == 0 ? chosen : 1;
    for (int r = 0; r < counted; ++r) {
      atomicAdd(count + load<int>(routing.expert + static_cast<index>(t) * routing.width + r), 1);
    }
  }
  XMOE_BARRIER();
  for (int e = thread_index(); e < routing.experts; e += 256) {
    const int mine = load_shared<int>(count + e);
    if (mine != 0) {
      atomicAdd(counts + e, mine);
    }
  }
}

/// share[e] = counted choices of e, divided; slope[e] = dL/dP_e of every token alike. One block.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(256)
    balance_slopes_kernel(DeviceRouting<R> routing, double coefficient, bool per_token,
                          const int* counts, double* share, R* slope, double* unit) {
  XMOE_SHARED(int, scratch);
  int mine = 0;
  for (int e = thread_index(); e < routing.experts; e += 256) {
    mine += load<int>(counts + e);
  }
  const int claims = block_sum(mine, scratch);
  const int tokens = valid_tokens(routing);
  const double divisor = static_cast<double>(per_token ? tokens : claims);
  const double of_token = tokens == 0 ? 0.0
                                      : coefficient * static_cast<double>(routing.experts) /
                                            static_cast<double>(tokens);
  for (int e = thread_index(); e < routing.experts; e += 256) {
    const double f = divisor > 0.0 ? static_cast<double>(load<int>(counts + e)) / divisor : 0.0;
    store(share + e, f);
    store(slope + e, static_cast<R>(of_token * f));
  }
  if (thread_index() == 0) {
    store(unit, of_token);
  }
}

/// Of one row: the largest number; 32 running sums; all lanes get them.
template <class R>
XMOE_DEVICE R row_top(const R* z, int experts) {
  R top = load<R>(z);
  for (int e = static_cast<int>(lane_id()); e < experts; e += 32) {
    const R mine = load<R>(z + e);
    top = mine > top ? mine : top;
  }
  return LaneGroup<32>::max(top);
}
template <class R>
XMOE_DEVICE R row_exp_sum(const R* z, R top, int experts) {
  R sum = R(0);
  for (int e = static_cast<int>(lane_id()); e < experts; e += 32) {
    sum += math::exp(load<R>(z + e) - top);
  }
  return LaneGroup<32>::sum(sum);
}

/// The probability of one expert that LoadBalance averages.
template <int over, class R>
struct RowMean {
  const R* row;
  R top, sum;

  XMOE_DEVICE R operator()(int e) const {
    const R x = load<R>(row + e);
    if constexpr (over == over_softmax_of_logits) {
      return is_negative_infinity(top) ? R(0) : math::exp(x - top) / sum;
    } else {
      return over == over_scores ? x : (sum > R(0) ? x / sum : R(0));
    }
  }
};

/// The block's sum of one number a warp, to partial[block].
XMOE_DEVICE inline void put_partial(double of_warp, double* scratch, double* partial) {
  const double sum = block_sum(lane_id() == 0 ? of_warp : 0.0, scratch);
  if (thread_index() == 0) {
    store(partial + block_index(), sum);
  }
}

/// Adds the slopes to the gradients, a warp a token.
template <int over, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(loss_threads, 2)
    balance_kernel(DeviceRouting<R> routing, const std::uint8_t* valid, const double* share,
                   const R* slope, const double* unit, R* dscores, R* dlogits, double* partial) {
  XMOE_SHARED(double, scratch);
  constexpr int warps = loss_threads / 32;
  const int experts = routing.experts;
  const int lane = static_cast<int>(lane_id());
  double value = 0.0;
  for (int t = block_index() * warps + thread_index() / 32; t < routing.tokens;
       t += block_count() * warps) {
    if (valid != nullptr && load<std::uint8_t>(valid + t) == 0) {
      continue;
    }
    const index row = static_cast<index>(t) * experts;
    R top = R(0), sum = R(1), mean = R(0);
    if constexpr (over == over_softmax_of_logits) {
      top = row_top(routing.logits + row, experts);
      sum = row_exp_sum(routing.logits + row, top, experts);
    } else if constexpr (over == over_normalized_scores) {
      sum = R(0);
      for (int e = lane; e < experts; e += 32) {
        sum += load<R>(routing.scores + row + e);
      }
      sum = LaneGroup<32>::sum(sum);
    }
    const RowMean<over, R> p{
        (over == over_softmax_of_logits ? routing.logits : routing.scores) + row, top, sum};
    for (int e = lane; e < experts; e += 32) {
      const R mine = p(e);
      value += load<double>(share + e) * static_cast<double>(mine);
      mean = multiply_add(mine, load<R>(slope + e), mean);
    }
    mean = over == over_scores ? R(0) : LaneGroup<32>::sum(mean);
    for (int e = lane; e < experts; e += 32) {
      const R dp = load<R>(slope + e);
      if constexpr (over == over_softmax_of_logits) {
        R* const to = dlogits + row + e;
        store(to, multiply_add(p(e), dp - mean, load<R>(to)));
      } else {
        R* const to = dscores + row + e;
        if (over == over_scores) {
          store(to, load<R>(to) + dp);
        } else if (sum > R(0)) {
          store(to, load<R>(to) + (dp - mean) / sum);
        }
      }
    }
  }
  put_partial(warp_sum(value) * load<double>(unit), scratch, partial);
}

/// d/dz of coefficient / T * sum of squared log-sum-exps, a warp a token.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(loss_threads, 2)
    z_loss_kernel(DeviceRouting<R> routing, const std::uint8_t* valid, double coefficient,
                  R* dlogits, double* partial) {
  XMOE_SHARED(double, scratch);
  constexpr int warps = loss_threads / 32;
  const int experts = routing.experts;
  const int tokens = valid_tokens(routing);
  const double unit = tokens == 0 ? 0.0 : coefficient / static_cast<double>(tokens);
  double value = 0.0;
  for (int t = block_index() * warps + thread_index() / 32; t < routing.tokens;
       t += block_count() * warps) {
    if (valid != nullptr && load<std::uint8_t>(valid + t) == 0) {
      continue;
    }
    const R* const z = routing.logits + static_cast<index>(t) * experts;
    const R top = row_top(z, experts);
    if (is_negative_infinity(top)) {
      continue;  // every expert is masked
    }
    const R sum = row_exp_sum(z, top, experts);
    using std::log;
    const double lse = static_cast<double>(top) + log(static_cast<double>(sum));
    value += lse * lse;
    const R slope = static_cast<R>(2.0 * unit * lse) / sum;
    for (int e = static_cast<int>(lane_id()); e < experts; e += 32) {
      R* const to = dlogits + static_cast<index>(t) * experts + e;
      store(to, multiply_add(slope, math::exp(load<R>(z + e) - top), load<R>(to)));
    }
  }
  put_partial(value * unit, scratch, partial);
}

/// The blocks' sums in order, by one warp.
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(32) loss_sum_kernel(const T* partial, int blocks, T* value) {
  T sum = T(0);
  for (int b = static_cast<int>(lane_id()); b < blocks; b += 32) {
    sum += load<T>(partial + b);
  }
  sum = warp_sum(sum);
  if (lane_id() == 0) {
    store(value, sum);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
