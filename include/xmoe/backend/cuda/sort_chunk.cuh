// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/backend/cuda/tiles.cuh>

namespace xmoe::inline XMOE_ABI::cuda::detail {

/// As many tokens as a block has threads, sorted by expert in shared memory: every expert has a bit
/// for every token, and the place of a token among an expert's is the number of bits before its
/// own. Where one expert stands twice in a row bits are not enough, and the block counts instead.
///
/// All functions are called by the whole block and end behind a barrier unless they say otherwise.
///
///   memory   [32] scratch, the last one a flag; [E] rows at which experts begin;
///            [E, threads / 32] bits
struct SortChunk {
  int* memory;
  int experts;
  int first;  ///< the router's number of the plan's expert 0

  static constexpr std::size_t head = 33;
  static constexpr std::size_t shared_bytes(int experts, int threads) {
    return (head +
            static_cast<std::size_t>(experts) * (1 + static_cast<std::size_t>(threads) / 32)) *
           sizeof(int);
  }

  XMOE_DEVICE int* scratch() const { return memory; }
  XMOE_DEVICE int* twice() const { return memory + 32; }
  XMOE_DEVICE int* begins() const { return memory + head; }
  XMOE_DEVICE unsigned* bits() const {
    return reinterpret_cast<unsigned*>(memory + head + experts);
  }
  static XMOE_DEVICE int words() { return thread_count() / 32; }

  /// No barrier: place() has its own before.
  XMOE_DEVICE void set_begin(int e, int row) const { store_shared(begins() + e, row); }

  XMOE_DEVICE void clear() const {
    for (int i = thread_index(); i < experts * words(); i += thread_count()) {
      store_shared(bits() + i, 0u);
    }
    if (thread_index() == 0) {
      store_shared(twice(), 0);
    }
    XMOE_BARRIER();
  }

  /// Sets the bits of tokens [token, token + threads).
  template <class R>
  XMOE_DEVICE void mark(const DeviceRouting<R>& routing, int token) const {
    const int t = token + thread_index();
    if (t < routing.tokens) {
      const index slots = static_cast<index>(t) * routing.width;
      const int count = load<int>(routing.count + t);
      const unsigned bit = 1u << lane_id();
      for (int r = 0; r < count; ++r) {
        const int e = load<int>(routing.expert + slots + r) - first;
        if (e >= 0) {
          const unsigned before = atomicOr(bits() + e * words() + thread_index() / 32, bit);
          if ((before & bit) != 0) {
            atomicOr(twice(), 1);
          }
        }
      }
    }
    XMOE_BARRIER();
  }

  /// Slots of the chunk that want expert e. No barrier.
  template <class R>
  XMOE_DEVICE int load_of(const DeviceRouting<R>& routing, int token, int e) const {
    int sum = 0;
    if (load_shared<int>(twice()) == 0) {
      for (int w = 0; w < words(); ++w) {
        sum += __popc(load_shared<unsigned>(bits() + e * words() + w));
      }
    } else {
      sum = each_slot_of(routing, token, e, Count{}).sum;
    }
    return sum;
  }

  /// Writes the rows of the chunk's slots: first -1 everywhere, then where they are.
  template <class R>
  XMOE_DEVICE void place(const DeviceRouting<R>& routing, int token, const DevicePlan& plan) const {
    const int left = routing.tokens - token;
    const int tokens = left < thread_count() ? left : thread_count();
    const index first_slot = static_cast<index>(token) * routing.width;
    for (int i = thread_index(); i < tokens * routing.width; i += thread_count()) {
      store(plan.row + first_slot + i, -1);
    }
    XMOE_BARRIER();
    if (load_shared<int>(twice()) == 0) {
      if (thread_index() < tokens) {
        place_token(routing, token + thread_index(), plan);
      }
    } else {
      for (int e = thread_index(); e < experts; e += thread_count()) {
        each_slot_of(routing, token, e, Put{plan, load_shared<int>(begins() + e)});
      }
    }
    XMOE_BARRIER();
  }

  /// Moves the experts' begins behind the chunk's rows.
  template <class R>
  XMOE_DEVICE void advance(const DeviceRouting<R>& routing, int token) const {
    for (int e = thread_index(); e < experts; e += thread_count()) {
      set_begin(e, load_shared<int>(begins() + e) + load_of(routing, token, e));
    }
    XMOE_BARRIER();
  }

 private:
  /// What is done with one slot after the other.
  struct Count {
    int sum = 0;
    XMOE_DEVICE void operator()(index, int) { ++sum; }
  };
  struct Put {
    DevicePlan plan;
    int row;
    XMOE_DEVICE void operator()(index slot, int t) {
      store(plan.token + row, t);
      store(plan.slot + row, static_cast<int>(slot));
      store(plan.row + slot, row);
      ++row;
    }
  };

  template <class R>
  XMOE_DEVICE void place_token(const DeviceRouting<R>& routing, int t,
                               const DevicePlan& plan) const {
    const index slots = static_cast<index>(t) * routing.width;
    const int count = load<int>(routing.count + t);
    const int word = thread_index() / 32;
    for (int r = 0; r < count; ++r) {
      const int e = load<int>(routing.expert + slots + r) - first;
      if (e >= 0) {
        const unsigned* const mine = bits() + e * words();
        const unsigned below = load_shared<unsigned>(mine + word) & ((1u << lane_id()) - 1u);
        int row = load_shared<int>(begins() + e) + __popc(below);
        for (int w = 0; w < word; ++w) {
          row += __popc(load_shared<unsigned>(mine + w));
        }
        Put{plan, row}(slots + r, t);
      }
    }
  }
  /// Calls f(slot, token) for the slots of the chunk that want expert e, in order, by one thread.
  /// Returns f.
  template <class R, class F>
  XMOE_DEVICE F each_slot_of(const DeviceRouting<R>& routing, int token, int e, F f) const {
    const int end =
        token + thread_count() < routing.tokens ? token + thread_count() : routing.tokens;
    for (int t = token; t < end; ++t) {
      const index slots = static_cast<index>(t) * routing.width;
      const int count = load<int>(routing.count + t);
      for (int r = 0; r < count; ++r) {
        if (load<int>(routing.expert + slots + r) - first == e) {
          f(slots + r, t);
        }
      }
    }
    return f;
  }
};

}  // namespace xmoe::inline XMOE_ABI::cuda::detail
