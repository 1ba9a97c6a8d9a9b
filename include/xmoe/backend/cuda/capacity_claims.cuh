// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/core/order.hpp>
#include <xmoe/core/random.hpp>
#include <xmoe/dispatch/capacity.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// The limit of dispatch::CapacityBy as numbers: min(max(ceil(T / E * factor), minimum), T), or
/// min(absolute, T), or T, of the T tokens that are not padding, which the device alone may know.
struct DeviceCapacity {
  dispatch::Limit limit = dispatch::Limit::factor;
  double factor = 1.0;
  int experts = 1;
  int absolute = 0;
  int minimum = 0;

  XMOE_HD int operator()(int tokens) const {
    int c = tokens;
    if (limit == dispatch::Limit::factor) {
      const double share =
          std::ceil(static_cast<double>(tokens) / static_cast<double>(experts) * factor);
      c = share < static_cast<double>(tokens) ? static_cast<int>(share) : tokens;
      c = c < minimum ? minimum : c;
    } else if (limit == dispatch::Limit::absolute) {
      c = absolute;
    }
    return c < tokens ? c : tokens;
  }
};

/// The numbers of a dispatch in a mode; `experts` are those that run.
template <class Priority>
DeviceCapacity capacity_of(const dispatch::CapacityBy<Priority>& d, Mode mode, int experts) {
  constexpr index most = std::numeric_limits<int>::max();
  const auto bounded = [](index n) { return static_cast<int>(n < most ? n : most); };
  return {d.limit, mode == Mode::train ? d.factor : d.eval_factor.value_or(d.factor), experts,
          bounded(d.absolute), bounded(d.minimum)};
}

namespace detail {

/// The use that dispatch::CapacityBy forks its stream for.
inline constexpr std::uint64_t priority_stream = 0x7072696f72697479u;

/// The claims on one expert, made when they are looked at.
template <class Priority, class R>
struct Claims {
  const R* score;
  int experts;  ///< outputs of the router
  int width;
  Random random;
  const int* slots = nullptr;  ///< of the expert's wishes, ascending
  int expert = 0;              ///< the plan's number

  XMOE_DEVICE priority::Claim operator[](int i) const {
    const int slot = load<int>(slots + i);
    const int t = slot / width;
    priority::Claim claim{order_code(SelectionKey<R>{load<R>(score + slot)}), 0, slot,
                          slot - t * width};
    if constexpr (priority::looks_at_best<Priority>) {
      claim.best = order_code(SelectionKey<R>{load<R>(score + t * width)});
    }
    if constexpr (Priority::draws) {
      const auto block =
          random.block(static_cast<std::uint64_t>(t) * static_cast<std::uint64_t>(experts) +
                       static_cast<std::uint64_t>(expert));
      claim.random = (std::uint64_t{block.word[0]} << 32) | block.word[1];
    }
    return claim;
  }

  /// Claim number n of `count` in the order of the priority. The whole block; the same result in
  /// every thread.
  ///
  /// One of the claims that are still possible is drawn, and its place is counted: whatever the
  /// scores, at least a quarter of them is left out every second time.
  ///   scratch   [34] in shared memory
  XMOE_DEVICE priority::Claim nth(int n, int count, int* scratch) const {
    int low = -1;   // a claim before the wanted one, -1: none known
    int high = -1;  // a claim behind it
    int from = 0;   // places that are still open: from .. to - 1
    int to = count;
    unsigned state = 0x9e3779b9u;
    priority::Claim claim{};
    for (int round = 0; round < count; ++round) {  // every round rules out its own claim at least
      state = state * 1664525u + 1013904223u;
      const int draw = static_cast<int>(
          (static_cast<std::uint64_t>(state) * static_cast<std::uint64_t>(to - from)) >> 32);
      const int pivot = find(Between{*this, low, high}, draw, count, scratch);
      claim = (*this)[pivot];
      const int place = count_if(Before{*this, claim}, count, scratch);
      if (place == n) {
        break;
      }
      if (place < n) {
        low = pivot;
        from = place + 1;
      } else {
        high = pivot;
        to = place;
      }
    }
    return claim;
  }

 private:
  struct Before {
    const Claims& claims;
    priority::Claim limit;
    XMOE_DEVICE bool operator()(int i) const { return Priority::before(claims[i], limit); }
  };
  struct Between {
    const Claims& claims;
    bool above, below;
    priority::Claim low, high;

    XMOE_DEVICE Between(const Claims& all, int l, int h)
        : claims(all),
          above(l >= 0),
          below(h >= 0),
          low(all[l >= 0 ? l : 0]),
          high(all[h >= 0 ? h : 0]) {}
    XMOE_DEVICE bool operator()(int i) const {
      const priority::Claim claim = claims[i];
      return (!above || Priority::before(low, claim)) && (!below || Priority::before(claim, high));
    }
  };

  template <class F>
  static XMOE_DEVICE int count_if(const F& holds, int count, int* scratch) {
    int mine = 0;
    for (int i = thread_index(); i < count; i += thread_count()) {
      mine += holds(i) ? 1 : 0;
    }
    return block_sum(mine, scratch);
  }
  /// The index of number `n` for which it holds.
  template <class F>
  static XMOE_DEVICE int find(const F& holds, int n, int count, int* scratch) {
    int before = 0;
    for (int first = 0; before <= n && first < count; first += thread_count()) {
      const int i = first + thread_index();
      const bool mine = i < count && holds(i);
      const Scanned<int> sum = block_exclusive_sum(mine ? 1 : 0, scratch);
      if (mine && before + sum.before == n) {
        store_shared(scratch + 32, i);
      }
      before += sum.total;
    }
    XMOE_BARRIER();  // the next store there comes after a count, which has barriers of its own
    return load_shared<int>(scratch + 32);
  }
};

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
