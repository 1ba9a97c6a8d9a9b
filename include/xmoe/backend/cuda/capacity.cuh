// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/capacity_claims.cuh>
#include <xmoe/backend/cuda/sort.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

inline constexpr int capacity_threads = 256;

/// The stretches that are left: offsets of the plan from those of all wishes. One block.
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(capacity_threads, 4)
    capacity_offsets_kernel(DeviceCapacity capacity, const T* valid_tokens, int tokens,
                            const int* all, int experts, int* offsets, int* limit) {
  XMOE_SHARED(int, scratch);
  const int valid = valid_tokens == nullptr ? tokens : load<int>(valid_tokens);
  const int most = capacity(valid);
  int carry = 0;
  for (int begin = 0; begin < experts; begin += capacity_threads) {
    const int e = begin + thread_index();
    int mine = 0;
    if (e < experts) {
      const int wanted = load<int>(all + e + 1) - load<int>(all + e);
      mine = wanted < most ? wanted : most;
    }
    const Scanned<int> sum = block_exclusive_sum(mine, scratch);
    if (e < experts) {
      store(offsets + e, carry + sum.before);
    }
    carry += sum.total;
  }
  if (thread_index() == 0) {
    store(offsets + experts, carry);
    store(limit, most);
  }
}

/// A block an expert: finds its last claim that is kept and moves the kept ones to their place.
template <class Priority, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(capacity_threads, 4)
    capacity_kernel(Claims<Priority, R> claims, const int* all, const int* slots, const int* limit,
                    DevicePlan plan) {
  XMOE_SHARED(int, scratch);
  const int e = block_index();
  claims.expert = e;
  claims.slots = slots + load<int>(all + e);
  const int wanted = load<int>(all + e + 1) - load<int>(all + e);
  const int kept = load<int>(limit);
  const int begin = load<int>(plan.offsets + e);
  const bool cut = wanted > kept;
  const priority::Claim last =
      cut && kept > 0 ? claims.nth(kept - 1, wanted, scratch) : priority::Claim{};
  int carry = begin;
  for (int first = 0; first < wanted; first += capacity_threads) {
    const int i = first + thread_index();
    bool keep = false;
    int slot = 0;
    if (i < wanted) {
      const priority::Claim claim = claims[i];
      slot = static_cast<int>(claim.assignment);
      keep = !cut || (kept > 0 && !Priority::before(last, claim));
    }
    const Scanned<int> sum = block_exclusive_sum(keep ? 1 : 0, scratch);
    if (i < wanted) {
      const int row = keep ? carry + sum.before : -1;
      store(plan.row + slot, row);
      if (keep) {
        store(plan.token + row, slot / plan.width);
        store(plan.slot + row, slot);
      }
    }
    carry += sum.total;
  }
}

/// What the sort of all wishes takes. Parts begin where sectors do.
struct CapacityScratch {
  int *offsets, *token, *slot, *limit;
  void* sort;

  static std::size_t whole_sectors(std::size_t count) { return (count + 7) / 8 * 8; }
  static std::size_t head(int experts) { return whole_sectors(unsigned(experts) + 2u); }
  static std::size_t most_rows(int tokens, int width) {
    return whole_sectors(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(width));
  }
  static std::size_t numbers(int tokens, int experts, int width) {
    return head(experts) + 2 * most_rows(tokens, width);
  }
  static CapacityScratch in(void* memory, const DevicePlan& plan) {
    int* const first = static_cast<int*>(memory);
    const std::size_t rows = most_rows(plan.tokens, plan.width);
    int* const token = first + head(plan.experts);
    return {first, token, token + rows, first + plan.experts + 1, token + 2 * rows};
  }
};

}  // namespace detail

/// Scratch of sort_with_capacity.
inline std::size_t capacity_scratch_bytes(int tokens, int experts, int width) {
  return detail::CapacityScratch::numbers(tokens, experts, width) * sizeof(int) +
         sort_scratch_bytes(tokens, experts);
}

/// The plan of dispatch::CapacityBy: of every expert's wishes the best by `Priority`, C at most.
///
///   in       routing; `capacity` as capacity_of(dispatch, mode, experts) makes it; `random` the
///            base stream of the call, as in Context. Experts of the router before `first` are
///            placeholders
///   out      plan, inside an expert by token; plan.wanted counts also what is dropped
///   scratch  capacity_scratch_bytes(T, E, width)
///   ties     as the priority says; every claim has its own place, so the choice is unique
///   cost     the sort, and for an expert over its limit about 2 ln n passes over its n claims
///   throws   cuda_error; see sort_by_expert
template <class Priority, class R>
void sort_with_capacity(cudaStream_t stream, const DeviceCapacity& capacity, Random random,
                        const DeviceRouting<R>& routing, int first, const DevicePlan& plan,
                        void* scratch) {
  const auto part = detail::CapacityScratch::in(scratch, plan);
  DevicePlan all = plan;
  all.offsets = part.offsets;
  all.token = part.token;
  all.slot = part.slot;
  sort_by_expert(stream, routing, first, all, part.sort);
  launch(stream, detail::capacity_offsets_kernel<int>, Grid{}, unsigned(detail::capacity_threads),
         32 * sizeof(int), capacity, routing.valid_tokens, routing.tokens,
         static_cast<const int*>(part.offsets), plan.experts, plan.offsets, part.limit);
  const detail::Claims<Priority, R> claims{routing.score, routing.experts, routing.width,
                                           random.fork(detail::priority_stream)};
  launch(stream, detail::capacity_kernel<Priority, R>, Grid{static_cast<unsigned>(plan.experts)},
         unsigned(detail::capacity_threads), 40 * sizeof(int), claims,
         static_cast<const int*>(part.offsets), static_cast<const int*>(part.slot),
         static_cast<const int*>(part.limit), plan);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
