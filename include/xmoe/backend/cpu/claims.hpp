// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <atomic>
#include <exception>

namespace xmoe::inline XMOE_ABI::cpu {

/// Who works on which items of a parallel loop: batches of neighbours, a run of batches a worker.
/// A worker whose run is empty takes over the rear half of another one. Every item is handed out
/// once. Allocates nothing.
class Claims {
 public:
  Claims(index items, index workers) : items_(items) {
    runs_ = workers < max_runs ? workers : max_runs;
    alone_ = workers <= max_runs;
    // Many batches a worker, so that the last ones are short.
    batch_ = items / (runs_ * 64);
    batch_ = batch_ < 1 ? 1 : batch_;
    const index batches = (items + batch_ - 1) / batch_;
    for (index r = 0; r < runs_; ++r) {
      run_[r].range.store(pack(batches * r / runs_, batches * (r + 1) / runs_),
                          std::memory_order_relaxed);
    }
  }

  /// The next batch for a worker, -1 when there is none left.
  index take(index worker) {
    if (stopped_.load(std::memory_order_relaxed)) {
      return -1;
    }
    std::atomic<std::uint64_t>& own = run_[worker % runs_].range;
    std::uint64_t seen = own.load(std::memory_order_relaxed);
    while (first(seen) < last(seen)) {
      if (own.compare_exchange_weak(seen, pack(first(seen) + 1, last(seen)),
                                    std::memory_order_relaxed)) {
        return first(seen);
      }
    }
    for (index i = 1; i < runs_; ++i) {
      std::atomic<std::uint64_t>& other = run_[(worker + i) % runs_].range;
      seen = other.load(std::memory_order_relaxed);
      while (first(seen) < last(seen)) {
        // A run that is shared must not be replaced: its users take one batch at a time.
        const index middle = alone_ ? first(seen) + (last(seen) - first(seen)) / 2 : last(seen) - 1;
        if (other.compare_exchange_weak(seen, pack(first(seen), middle),
                                        std::memory_order_relaxed)) {
          if (alone_) {  // nobody else writes an empty run
            own.store(pack(middle + 1, last(seen)), std::memory_order_relaxed);
          }
          return middle;
        }
      }
    }
    return -1;
  }
  index begin(index batch) const { return batch * batch_; }
  index end(index batch) const {
    const index end = (batch + 1) * batch_;
    return end < items_ ? end : items_;
  }

  /// Gives up what nobody has claimed and remembers the exception in flight, if it is the first.
  void fail() {
    stopped_.store(true);
    for (index r = 0; r < runs_; ++r) {
      run_[r].range.store(pack(0, 0));
    }
#if XMOE_EXCEPTIONS
    if (!failed_.exchange(true)) {
      problem_ = std::current_exception();
    }
#endif
  }
  std::exception_ptr problem() const { return problem_; }

 private:
  static constexpr index max_runs = 64;

  struct alignas(64) Run {
    std::atomic<std::uint64_t> range = 0;
  };

  static std::uint64_t pack(index first, index last) {
    return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(last);
  }
  static index first(std::uint64_t range) { return static_cast<index>(range >> 32); }
  static index last(std::uint64_t range) { return static_cast<index>(range & 0xffffffffu); }

  index items_;
  index batch_ = 1;
  index runs_ = 1;
  bool alone_ = true;
  std::atomic<bool> failed_ = false;
  std::atomic<bool> stopped_ = false;
  std::exception_ptr problem_;
  Run run_[max_runs];
};

}  // namespace xmoe::inline XMOE_ABI::cpu
