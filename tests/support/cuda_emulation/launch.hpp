// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "engine.hpp"

#include <tuple>

namespace emulation {

/// Runs the kernel; every thread gets its own copy of the arguments. Throws `fault`.
template <class... P>
void run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
         const std::tuple<P...>& arguments) {
  struct Call {
    void (*kernel)(P...);
    const std::tuple<P...>* arguments;
  };
  const Call call{kernel, &arguments};
  detail::Job job;
  job.call = [](const void* data) {
    const Call& made = *static_cast<const Call*>(data);
    std::apply(made.kernel, *made.arguments);
  };
  job.data = &call;
  job.grid = grid;
  job.block = block;
  job.shared_bytes = shared_bytes;
  detail::engine().run(job);
}

inline const uint3& thread_index() { return detail::self().index; }
inline uint3 block_index() { return detail::self().engine->block_index(); }
inline const dim3& block_size() { return detail::self().engine->job().block; }
inline const dim3& grid_size() { return detail::self().engine->job().grid; }
inline unsigned char* shared_memory() { return detail::self().engine->shared().data(); }
inline std::size_t shared_size() { return detail::self().engine->job().shared_bytes; }

}  // namespace emulation

#define threadIdx (::emulation::thread_index())
#define blockIdx (::emulation::block_index())
#define blockDim (::emulation::block_size())
#define gridDim (::emulation::grid_size())
