// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "fault.hpp"
#include "sanitizer.hpp"

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

/// The dynamic shared memory of the running block: as long as the launch asked for, to the byte,
/// aligned to 128, all ones (NaN) until something is stored.
class SharedMemory {
 public:
  ~SharedMemory() { end_launch(); }

  void begin_block(std::size_t bytes) {
    bytes_ = bytes;
    if (per_block || memory_ == nullptr || capacity_ < bytes + pad) {
      capacity_ = bytes + pad;
      void* p = nullptr;
      if (::posix_memalign(&p, 128, capacity_ == 0 ? 1 : capacity_) != 0) {
        throw std::bad_alloc();
      }
      if (!per_block && memory_ != nullptr) {
        std::free(memory_);
      }
      memory_ = static_cast<unsigned char*>(p);
      if (per_block) {
        old_.push_back(memory_);
      }
    }
    std::memset(memory_, 0xff, bytes + pad);
  }
  /// False: something lies behind the end.
  bool end_block() const {
    for (std::size_t i = 0; i < pad; ++i) {
      if (memory_[bytes_ + i] != 0xff) {
        return false;
      }
    }
    return true;
  }
  void end_launch() {
    for (unsigned char* memory : old_) {
      std::free(memory);
    }
    if (!per_block) {
      std::free(memory_);
    }
    old_.clear();
    memory_ = nullptr;
  }

  unsigned char* data() const { return memory_; }
  bool holds(const void* address, std::size_t bytes) const {
    const auto a = reinterpret_cast<std::uintptr_t>(address);
    const auto begin = reinterpret_cast<std::uintptr_t>(memory_);
    return a >= begin && a + bytes <= begin + bytes_;
  }

 private:
  // The sanitizers see the end themselves if each block has memory of its own. It lives until the
  // launch ends: memory that came back would carry the accesses of the block before.
  static constexpr bool per_block = EMULATION_ASAN || EMULATION_TSAN;
  static constexpr std::size_t pad = per_block ? 0 : 128;

  unsigned char* memory_ = nullptr;
  std::size_t bytes_ = 0, capacity_ = 0;
  std::vector<unsigned char*> old_;
};

EMULATION_TRUSTED_END
}  // namespace emulation::detail
