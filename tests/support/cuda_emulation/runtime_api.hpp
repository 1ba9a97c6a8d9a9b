// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "launch.hpp"
#include "runtime_types.hpp"

#include <chrono>
#include <cstdlib>

// The runtime's functions. Streams do their work at once, in the order of the calls.

struct CUstream_st {};
struct CUevent_st {
  bool recorded = false;
  std::chrono::steady_clock::time_point when;
};

namespace emulation {
namespace detail {

inline constinit thread_local cudaError_t last_error = cudaSuccess;

struct Failure {
  std::atomic<long> calls_left{-1};
  std::atomic<cudaError_t> status{cudaSuccess};
};
inline Failure& failure() {
  static Failure instance;
  return instance;
}

inline cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) {
    last_error = status;
  }
  return status;
}

/// What a call meets before it does anything.
inline cudaError_t begin_call() {
  if (settings().devices == 0) {
    return cudaErrorInsufficientDriver;
  }
  Failure& planned = failure();
  if (planned.calls_left.load() >= 0 && planned.calls_left.fetch_sub(1) == 0) {
    return planned.status;
  }
  return cudaSuccess;
}

inline constexpr std::size_t shared_limit = 48 << 10;
/// The most shared memory a block can ask for, by compute capability.
inline std::size_t shared_limit_optin() {
  const int cc = settings().compute_capability;
  return cc >= 90 ? 227 << 10 : cc == 80 || cc == 87 ? 163 << 10 : 99 << 10;
}

template <class F>
cudaError_t call(F body) {
  const cudaError_t status = begin_call();
  return result(status != cudaSuccess ? status : body());
}

inline cudaError_t check_launch(dim3 grid, dim3 block, std::size_t shared_bytes) {
  const auto threads = static_cast<unsigned long long>(block.x) * block.y * block.z;
  const bool fits = threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 &&
                    grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                    grid.z <= 65535 && shared_bytes <= shared_limit_optin();
  return fits ? cudaSuccess : cudaErrorInvalidConfiguration;
}

inline cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) {
    return cudaSuccess;
  }
  DeviceMemory& memory = device_memory();
  const bool to_device = memory.holds(to, 0), from_device = memory.holds(from, 0);
  const bool wrong_kind =
      kind != cudaMemcpyDefault &&
      ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) != to_device ||
       (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) != from_device);
  if (wrong_kind) {
    return cudaErrorInvalidMemcpyDirection;
  }
  if ((to_device && !memory.live(to, bytes)) || (from_device && !memory.live(from, bytes))) {
    return cudaErrorInvalidValue;
  }
  AtomicCounters& counts = atomic_counters();
  ++counts.copies;
  counts.copied_bytes += static_cast<long>(bytes);
  counts.copies_to_host += from_device && !to_device ? 1 : 0;
  const OpenDevice open;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

inline cudaError_t synchronize() {
  return call([] {
    ++atomic_counters().synchronizations;
    return cudaSuccess;
  });
}

}  // namespace detail

/// The call of the runtime after `calls` more fails with that status.
inline void fail_after(long calls, cudaError_t status) {
  detail::failure().status = status;
  detail::failure().calls_left = calls;
}

/// A launch, checked as the runtime checks it. `fault` is thrown for what happens in the kernel.
template <class... P>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   const std::tuple<P...>& arguments) {
  return detail::call([&] {
    const cudaError_t status = detail::check_launch(grid, block, shared_bytes);
    if (status == cudaSuccess) {
      ++detail::atomic_counters().launches;
      run(kernel, grid, block, shared_bytes, arguments);
    }
    return status;
  });
}

}  // namespace emulation

#include "runtime_functions.hpp"
