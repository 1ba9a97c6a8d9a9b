// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "fault.hpp"
#include "sanitizer.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>

namespace emulation::detail {

/// The device's memory: one range of addresses. Allocations are aligned to 256 bytes as
/// cudaMalloc's are, hold NaN at first, and are followed by at least 256 bytes that nobody may
/// touch.
class DeviceMemory {
 public:
  static constexpr std::size_t alignment = 256, gap = 256;
  static constexpr std::size_t reserved = std::size_t{16} << 30;

  DeviceMemory() {
    void* p =
        ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      throw std::bad_alloc();
    }
    base_ = static_cast<unsigned char*>(p);
  }

  /// Null: no room.
  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t room = (bytes + alignment - 1) / alignment * alignment + gap;
    std::size_t at = live_.empty() ? 0 : top_;
    if (room > reserved - at) {
      at = gap_between(room);
      if (at == reserved) {
        return nullptr;
      }
    }
    top_ = at + room > top_ || live_.empty() ? at + room : top_;
    reach(top_);
    const Opened opened(*this);
    unpoison(base_ + at, bytes);
    std::memset(base_ + at, 0xff, EMULATION_ASAN ? bytes : room);
    live_[at] = bytes;
    return base_ + at;
  }
  /// False: not an allocation.
  bool release(void* pointer) {
    const std::lock_guard lock(mutex_);
    const auto found = holds(pointer, 0) ? live_.find(offset(pointer)) : live_.end();
    if (found == live_.end()) {
      return false;
    }
    {
      const Opened opened(*this);
      std::memset(pointer, 0xff, found->second);
      give_back(offset(pointer), found->second);
    }
    poison(pointer, found->second);
    live_.erase(found);
    return true;
  }

  /// Is it an address of the device at all?
  bool holds(const void* pointer, std::size_t bytes) const {
    const auto a = reinterpret_cast<std::uintptr_t>(pointer);
    const auto begin = reinterpret_cast<std::uintptr_t>(base_);
    return a >= begin && a + bytes <= begin + reserved;
  }
  /// Do the bytes lie in one live allocation?
  bool live(const void* pointer, std::size_t bytes) {
    if (!holds(pointer, bytes)) {
      return false;
    }
    const std::lock_guard lock(mutex_);
    const std::size_t at = offset(pointer);
    auto next = live_.upper_bound(at);
    if (next == live_.begin()) {
      return false;
    }
    --next;
    return at + bytes <= next->first + next->second;
  }

  /// While kernels, copies and fills run the memory is open; else host code cannot touch it.
  void open() {
    const std::lock_guard lock(mutex_);
    open_unlocked();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    close_unlocked();
  }

  /// The text of what was found behind the end of an allocation; empty: nothing.
  std::string overrun() {
    const std::lock_guard lock(mutex_);
    if (EMULATION_ASAN || EMULATION_TSAN) {
      return {};  // they see it themselves
    }
    for (const auto& [at, bytes] : live_) {
      const std::size_t end = (bytes + alignment - 1) / alignment * alignment + gap;
      for (std::size_t i = bytes; i < end; ++i) {
        if (base_[at + i] != 0xff) {
          return "a kernel wrote " + std::to_string(i - bytes) +
                 " bytes past the end of an allocation of " + std::to_string(bytes) + " bytes";
        }
      }
    }
    return {};
  }
  std::size_t live_count() {
    const std::lock_guard lock(mutex_);
    return live_.size();
  }

 private:
  struct Opened {
    explicit Opened(DeviceMemory& memory) : memory_(memory) { memory_.open_unlocked(); }
    ~Opened() { memory_.close_unlocked(); }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    DeviceMemory& memory_;
  };

  std::size_t offset(const void* pointer) const {
    return static_cast<std::size_t>(static_cast<const unsigned char*>(pointer) - base_);
  }
  /// First gap of that size between live allocations; `reserved`: none.
  std::size_t gap_between(std::size_t room) const {
    std::size_t at = 0;
    for (const auto& [begin, bytes] : live_) {
      if (at + room <= begin) {
        return at;
      }
      at = begin + (bytes + alignment - 1) / alignment * alignment + gap;
    }
    return at + room <= reserved ? at : reserved;
  }
  /// The whole pages of a large block that was freed go back to the system.
  void give_back(std::size_t at, std::size_t bytes) {
    constexpr std::size_t page = std::size_t{1} << 16;
    const std::size_t first = (at + page - 1) / page * page;
    const std::size_t last = (at + bytes) / page * page;
    if (first < last) {
      ::madvise(base_ + first, last - first, MADV_DONTNEED);
    }
  }
  void reach(std::size_t end) {
    constexpr std::size_t step = std::size_t{1} << 20;
    const std::size_t rounded = (end + step - 1) / step * step;
    if (rounded > reached_) {
      poison(base_ + reached_, rounded - reached_);  // what lies beyond cannot be touched at all
      reached_ = rounded;
      protect();
    }
  }
  void protect() {
    const bool readable = openers_ != 0 || !settings().hygiene;
    ::mprotect(base_, reached_, readable ? PROT_READ | PROT_WRITE : PROT_NONE);
    readable_ = readable;
  }
  void open_unlocked() {
    if (openers_++ == 0 && !readable_) {
      protect();
    }
  }
  void close_unlocked() {
    if (--openers_ == 0 && settings().hygiene) {
      protect();
    }
  }

  std::mutex mutex_;
  unsigned char* base_ = nullptr;
  std::size_t top_ = 0, reached_ = 0;
  std::map<std::size_t, std::size_t> live_;  // offset -> bytes
  int openers_ = 0;
  bool readable_ = false;
};

inline DeviceMemory& device_memory() {
  static DeviceMemory& instance = *new DeviceMemory;  // outlives all static objects
  return instance;
}

class OpenDevice {
 public:
  OpenDevice() { device_memory().open(); }
  ~OpenDevice() { device_memory().close(); }
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;
};

inline void check_canaries() {
  const std::string problem = device_memory().overrun();
  if (!problem.empty()) {
    throw fault(problem);
  }
}

}  // namespace emulation::detail
