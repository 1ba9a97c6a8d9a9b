// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "launch.hpp"

#include <cstdio>

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

inline void refuse_access(const void* address, std::size_t bytes, const char* why,
                          const Place& place) {
  char number[32];
  std::snprintf(number, sizeof(number), "%p", address);
  const uint3 block = block_index();
  throw fault(place.text() + ": access of " + std::to_string(bytes) + " bytes at " + number +
              " by thread " + std::to_string(self().linear) + " of block (" +
              std::to_string(block.x) + "," + std::to_string(block.y) + "," +
              std::to_string(block.z) + "): " + why);
}

/// What every access through a typed helper passes: right memory, aligned; noted by the tracer.
inline void access(const void* address, std::size_t bytes, std::size_t alignment, Access kind,
                   const char* file, unsigned line) {
  Thread& thread = self();
  const Quiet quiet;
  if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) {
    refuse_access(address, bytes, "misaligned", {file, line});
  }
  if (kind == Access::load || kind == Access::store) {
    if (!device_memory().holds(address, bytes)) {
      refuse_access(address, bytes, "not in the device's global memory", {file, line});
    }
  } else if (!thread.engine->shared().holds(address, bytes)) {
    refuse_access(address, bytes, "not in the block's shared memory", {file, line});
  }
  if (tracing()) {
    trace_access(thread, address, bytes, kind, file, line);
  }
}

EMULATION_TRUSTED_END
}  // namespace emulation::detail
