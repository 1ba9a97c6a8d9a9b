// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/backend/cuda/sort_chunk.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// How tokens are cut into chunks, and chunks into blocks.
struct SortCut {
  int threads = 128;  ///< tokens of a chunk; of a block of threads
  int blocks = 1;
  int chunks = 1;  ///< of a block
  std::size_t shared = 0;
  bool one_block = false;
};

/// The most blocks, so that the scan over experts x blocks stays small.
inline constexpr int most_sort_blocks = 128;
inline constexpr int scan_threads = 1024;

inline SortCut sort_cut(int tokens, int experts) {
  SortCut cut;
  const auto bytes = [&](int threads) { return SortChunk::shared_bytes(experts, threads); };
  const int rounded = (tokens + 31) / 32 * 32;
  if (tokens <= scan_threads && bytes(rounded < 128 ? 128 : rounded) <= (std::size_t(48) << 10)) {
    cut.threads = rounded < 128 ? 128 : rounded;
    cut.one_block = true;
  } else if (bytes(cut.threads) > Limits::shared) {
    cut.threads = 32;
  }
  cut.shared = bytes(cut.threads);
  const int chunks = (tokens + cut.threads - 1) / cut.threads;
  cut.chunks = (chunks + most_sort_blocks - 1) / most_sort_blocks;
  cut.chunks = cut.chunks < 1 ? 1 : cut.chunks;
  cut.blocks = (chunks + cut.chunks - 1) / cut.chunks;
  return cut;
}

/// Step 1: counts[e * blocks + b] = slots of block b's tokens that want expert e.
template <class R>
XMOE_KERNEL void sort_count_kernel(DeviceRouting<R> routing, int first, int experts, int chunks,
                                   int* counts) {
  XMOE_SHARED(int, count);
  for (int e = thread_index(); e < experts; e += thread_count()) {
    store_shared(count + e, 0);
  }
  XMOE_BARRIER();
  for (int c = 0; c < chunks; ++c) {
    const int t = (block_index() * chunks + c) * thread_count() + thread_index();
    if (t < routing.tokens) {
      const index slots = static_cast<index>(t) * routing.width;
      const int wanted = load<int>(routing.count + t);
      for (int r = 0; r < wanted; ++r) {
        const int e = load<int>(routing.expert + slots + r) - first;
        if (e >= 0) {
          atomicAdd(count + e, 1);  // whole numbers: any order gives the same sum
        }
      }
    }
  }
  XMOE_BARRIER();
  for (int e = thread_index(); e < experts; e += thread_count()) {
    store(counts + static_cast<index>(e) * block_count() + block_index(),
          load_shared<int>(count + e));
  }
}

/// Step 2, one block: counts become the rows at which each (expert, block) begins.
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(scan_threads)
    sort_scan_kernel(T* counts, int experts, int blocks, int* offsets, int* wanted) {
  XMOE_SHARED(int, scratch);
  const int total = experts * blocks;
  int carry = 0;
  for (int begin = 0; begin < total; begin += scan_threads) {
    const int i = begin + thread_index();
    const int mine = i < total ? load<int>(counts + i) : 0;
    const Scanned<int> sum = block_exclusive_sum(mine, scratch);
    if (i < total) {
      store(counts + i, carry + sum.before);
      if (i % blocks == 0) {
        store(offsets + i / blocks, carry + sum.before);
      }
    }
    carry += sum.total;
  }
  if (thread_index() == 0) {
    store(offsets + experts, carry);
    if (wanted != nullptr) {
      store(wanted, carry);
    }
  }
}

/// Step 3: every slot to its row, chunk after chunk.
template <class R>
XMOE_KERNEL void sort_place_kernel(DeviceRouting<R> routing, int first, DevicePlan plan, int chunks,
                                   const int* begins) {
  XMOE_SHARED(int, memory);
  const SortChunk chunk{memory, plan.experts, first};
  for (int e = thread_index(); e < plan.experts; e += thread_count()) {
    chunk.set_begin(e, load<int>(begins + static_cast<index>(e) * block_count() + block_index()));
  }
  for (int c = 0; c < chunks; ++c) {
    const int token = (block_index() * chunks + c) * thread_count();
    chunk.clear();
    chunk.mark(routing, token);
    chunk.place(routing, token, plan);
    chunk.advance(routing, token);
  }
}

/// All three steps for the tokens of one chunk.
template <class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(scan_threads)
    sort_one_block_kernel(DeviceRouting<R> routing, int first, DevicePlan plan) {
  XMOE_SHARED(int, memory);
  const SortChunk chunk{memory, plan.experts, first};
  chunk.clear();
  chunk.mark(routing, 0);
  int carry = 0;
  for (int begin = 0; begin < plan.experts; begin += thread_count()) {
    const int e = begin + thread_index();
    const int mine = e < plan.experts ? chunk.load_of(routing, 0, e) : 0;
    const Scanned<int> sum = block_exclusive_sum(mine, chunk.scratch());
    if (e < plan.experts) {
      chunk.set_begin(e, carry + sum.before);
      store(plan.offsets + e, carry + sum.before);
    }
    carry += sum.total;
  }
  if (thread_index() == 0) {
    store(plan.offsets + plan.experts, carry);
    if (plan.wanted != nullptr) {
      store(plan.wanted, carry);
    }
  }
  chunk.place(routing, 0, plan);
}

}  // namespace detail

/// Scratch of sort_by_expert.
inline std::size_t sort_scratch_bytes(int tokens, int experts) {
  const detail::SortCut cut = detail::sort_cut(tokens, experts);
  return cut.one_block ? 0
                       : static_cast<std::size_t>(experts) * static_cast<std::size_t>(cut.blocks) *
                             sizeof(int);
}

/// A stable counting sort of the slots that are used: the plan of dispatch::Dropless, and what
/// capacities cut.
///
///   in       routing; experts of the router before `first` are left out (placeholders)
///   out      plan.offsets, token, slot, row, wanted; rows beyond offsets[E] are not written
///   scratch  sort_scratch_bytes(T, E) of the plan's experts; may be null if that is 0
///   order    by expert, then token, then slot: that of the CPU. One expert may stand several times
///            in a token's row
///   cost     O(T width + E) in three kernels: count, scan, place. One kernel up to 1024 tokens
///   throws   cuda_error; shape_error beyond about 18000 experts
template <class R>
void sort_by_expert(cudaStream_t stream, const DeviceRouting<R>& routing, int first,
                    const DevicePlan& plan, void* scratch) {
  const detail::SortCut cut = detail::sort_cut(routing.tokens, plan.experts);
  if (cut.shared > Limits::shared) {
    xmoe::detail::fail<shape_error>("xmoe::cuda::sort_by_expert: %d experts are too many",
                                    plan.experts);
  }
  const auto threads = static_cast<unsigned>(cut.threads);
  if (cut.one_block) {
    launch(stream, detail::sort_one_block_kernel<R>, Grid{}, threads, cut.shared, routing, first,
           plan);
    return;
  }
  int* const counts = static_cast<int*>(scratch);
  const Grid grid{static_cast<unsigned>(cut.blocks)};
  launch(stream, detail::sort_count_kernel<R>, grid, threads,
         static_cast<std::size_t>(plan.experts) * sizeof(int), routing, first, plan.experts,
         cut.chunks, counts);
  launch(stream, detail::sort_scan_kernel<int>, Grid{}, unsigned(detail::scan_threads),
         32 * sizeof(int), counts, plan.experts, cut.blocks, plan.offsets, plan.wanted);
  launch(stream, detail::sort_place_kernel<R>, grid, threads, cut.shared, routing, first, plan,
         cut.chunks, static_cast<const int*>(counts));
}

}  // namespace xmoe::inline XMOE_ABI::cuda
