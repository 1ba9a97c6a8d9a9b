// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/workspace.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace xmoe::inline XMOE_ABI {

/// The arenas of one call, one for each thing whose size is known at another moment.
struct Memory {
  Workspace scratch;   ///< given back at the end of every stage
  Workspace decision;  ///< logits, scores, routing: sized by T
  Workspace plan;      ///< sized by the number of assignments
  Workspace expert;    ///< what experts keep for backward: sized by the kept rows
};

/// Memory for calls that bring none of their own: one block per concurrent call, kept for the next.
/// Thread-safe. A copy starts empty.
class ScratchPool {
 public:
  ScratchPool() = default;
  ScratchPool(const ScratchPool&) {}
  ScratchPool& operator=(const ScratchPool&) { return *this; }

  /// Lends a block until the lease ends.
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), memory_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(memory_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Memory& operator*() const { return *memory_; }
    Memory* operator->() const { return memory_.get(); }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Memory> memory_;
  };

 private:
  std::unique_ptr<Memory> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) {
      return std::make_unique<Memory>();
    }
    std::unique_ptr<Memory> memory = std::move(free_.back());
    free_.pop_back();
    return memory;
  }
  void give_back(std::unique_ptr<Memory> memory) {
    for (Workspace* w : {&memory->scratch, &memory->decision, &memory->plan, &memory->expert}) {
      w->clear();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(memory));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Memory>> free_;
};

}  // namespace xmoe::inline XMOE_ABI
