// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "access.hpp"

// cp.async: copies from global to shared memory that arrive when they are waited for.

namespace emulation {
namespace detail {

struct Bytes16 {
  alignas(16) unsigned char bytes[16];
};

inline void deliver(const AsyncCopy& copy) {
  Bytes16 value;
  __builtin_memcpy(value.bytes, copy.bytes.data(), sizeof(value));
  *static_cast<Bytes16*>(copy.to) = value;  // seen by the sanitizers as the thread's own store
}

}  // namespace detail

/// Begins to copy `valid` bytes; the rest of the 16 become zero. Until the thread has waited for it
/// the destination holds NaN, so that who reads too early sees it. What is never waited for never
/// arrives.
inline void cp_async_16(void* shared, const void* global, unsigned valid, const char* file,
                        unsigned line) {
  using namespace detail;
  if (valid > 16) {
    throw fault(Place(file, line).text() + ": cp.async of " + std::to_string(valid) + " bytes");
  }
  Thread& thread = self();
  access(shared, 16, 16, Access::shared_store, file, line);
  AsyncCopy copy{shared, {}};
  if (valid != 0) {
    access(global, valid, 16, Access::load, file, line);
    const auto* from = static_cast<const std::byte*>(global);
    for (unsigned i = 0; i < valid; ++i) {
      copy.bytes[i] = from[i];
    }
  } else if (reinterpret_cast<std::uintptr_t>(global) % 16 != 0) {
    refuse_access(global, 0, "misaligned", {file, line});
  }
  if (!settings().delayed_copies) {
    deliver(copy);
    return;
  }
  *static_cast<Bytes16*>(shared) = undefined<Bytes16>();
  const Quiet quiet;
  thread.open_copies.push_back(copy);
}

/// The copies begun since the last commit are a group now, even if there are none.
inline void cp_async_commit() {
  detail::Thread& thread = detail::self();
  const detail::Quiet quiet;
  thread.committed_copies.push_back(std::move(thread.open_copies));
  thread.open_copies.clear();
}

/// Lets all groups arrive but the last `pending`.
inline void cp_async_wait(unsigned pending) {
  detail::Thread& thread = detail::self();
  while (true) {
    std::vector<detail::AsyncCopy> group;
    {
      const detail::Quiet quiet;
      if (thread.committed_copies.size() <= pending) {
        return;
      }
      group = std::move(thread.committed_copies.front());
      thread.committed_copies.erase(thread.committed_copies.begin());
    }
    for (const detail::AsyncCopy& copy : group) {
      detail::deliver(copy);
    }
    const detail::Quiet quiet;
    group = {};
  }
}

}  // namespace emulation
