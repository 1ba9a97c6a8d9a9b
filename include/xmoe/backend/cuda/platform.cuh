// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/error.cuh>
#include <xmoe/backend/cuda/runtime.cuh>
#include <xmoe/core/config.hpp>

#include <cstddef>
#include <tuple>
#include <utility>

// One source for two compilers: nvcc, and, for tests, any C++ compiler through the emulation. What
// kernels need and plain CUDA does not give in a form that both understand is here; PTX is in
// ptx.cuh. Kernels are function templates without static shared memory, and no block waits for
// another one.

#if defined(__CUDACC__)

#define XMOE_DEVICE __device__
#define XMOE_KERNEL __global__
#define XMOE_LAUNCH_BOUNDS(...) __launch_bounds__(__VA_ARGS__)
/// Before every loop over an array that is to stay in registers.
#define XMOE_UNROLL _Pragma("unroll")
/// Declares `type* name`: the block's dynamic shared memory, aligned to 128 bytes.
#define XMOE_SHARED(type, name) \
  type* const name = reinterpret_cast<type*>(::xmoe::cuda::detail::shared_memory())
#define XMOE_BARRIER() __syncthreads()
#define XMOE_WARP_BARRIER(mask) __syncwarp(mask)
// Notes for the emulation's access tracer, where load() and its kin do not fit.
#define XMOE_TRACE_LOAD(pointer, bytes) ((void)0)
#define XMOE_TRACE_STORE(pointer, bytes) ((void)0)
#define XMOE_TRACE_SHARED_LOAD(pointer, bytes) ((void)0)
#define XMOE_TRACE_SHARED_STORE(pointer, bytes) ((void)0)
#define XMOE_DETAIL_SITE_PARAMETER

#else

#define XMOE_DEVICE
#define XMOE_KERNEL
#define XMOE_LAUNCH_BOUNDS(...)
#define XMOE_UNROLL
#define XMOE_SHARED(type, name) \
  type* const name = reinterpret_cast<type*>(::emulation::shared_memory())
#define XMOE_BARRIER()                                                               \
  do {                                                                               \
    static constinit ::emulation::detail::Site xmoe_site(__FILE__, __LINE__, false); \
    ::emulation::detail::self().engine->block_barrier(xmoe_site);                    \
  } while (false)
#define XMOE_WARP_BARRIER(mask)                                                     \
  do {                                                                              \
    static constinit ::emulation::detail::Site xmoe_site(__FILE__, __LINE__, true); \
    ::emulation::detail::self().engine->warp_barrier(xmoe_site, mask);              \
  } while (false)
#define XMOE_DETAIL_TRACE(kind, pointer, bytes) \
  ::emulation::detail::access(pointer, bytes, 1, ::emulation::Access::kind, __FILE__, __LINE__)
#define XMOE_TRACE_LOAD(pointer, bytes) XMOE_DETAIL_TRACE(load, pointer, bytes)
#define XMOE_TRACE_STORE(pointer, bytes) XMOE_DETAIL_TRACE(store, pointer, bytes)
#define XMOE_TRACE_SHARED_LOAD(pointer, bytes) XMOE_DETAIL_TRACE(shared_load, pointer, bytes)
#define XMOE_TRACE_SHARED_STORE(pointer, bytes) XMOE_DETAIL_TRACE(shared_store, pointer, bytes)
#define XMOE_DETAIL_SITE_PARAMETER \
  , const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

#endif

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

#if defined(__CUDACC__)
XMOE_DEVICE inline unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char xmoe_dynamic_shared_memory[];
  return xmoe_dynamic_shared_memory;
}

template <class V>
XMOE_DEVICE V load_as(const void* from) {
  return *static_cast<const V*>(from);
}
template <class V>
XMOE_DEVICE void store_as(void* to, const V& value) {
  *static_cast<V*>(to) = value;
}
#else
template <class V>
V load_as(const void* from) {
  V value;
  __builtin_memcpy(static_cast<void*>(&value), from, sizeof(V));
  return value;
}
template <class V>
void store_as(void* to, const V& value) {
  __builtin_memcpy(to, static_cast<const void*>(&value), sizeof(V));
}
#endif

#if defined(__CUDACC__)
#define XMOE_DETAIL_NOTE(kind, pointer) ((void)0)
#else
#define XMOE_DETAIL_NOTE(kind, pointer) \
  ::emulation::detail::access(pointer, sizeof(V), alignof(V), ::emulation::Access::kind, file, line)
#endif

}  // namespace detail

// One access of one thread: V's size in one instruction, V's alignment demanded. The emulation
// checks that it is the memory it is said to be, and counts.

/// Reads a V from global memory.
template <class V, class T>
XMOE_DEVICE V load(const T* from XMOE_DETAIL_SITE_PARAMETER) {
  XMOE_DETAIL_NOTE(load, from);
  return detail::load_as<V>(from);
}
/// Writes a V to global memory.
template <class T, class V>
XMOE_DEVICE void store(T* to, const V& value XMOE_DETAIL_SITE_PARAMETER) {
  XMOE_DETAIL_NOTE(store, to);
  detail::store_as<V>(to, value);
}
/// Reads a V from shared memory.
template <class V, class T>
XMOE_DEVICE V load_shared(const T* from XMOE_DETAIL_SITE_PARAMETER) {
  XMOE_DETAIL_NOTE(shared_load, from);
  return detail::load_as<V>(from);
}
/// Writes a V to shared memory.
template <class T, class V>
XMOE_DEVICE void store_shared(T* to, const V& value XMOE_DETAIL_SITE_PARAMETER) {
  XMOE_DETAIL_NOTE(shared_store, to);
  detail::store_as<V>(to, value);
}
#undef XMOE_DETAIL_NOTE

/// Blocks of a launch.
struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

/// Starts `kernel` with blocks of `threads` threads in one dimension. A grid without blocks starts
/// nothing. More than 48 KiB of shared memory are asked for as CUDA wants it. Throws cuda_error.
template <class... P, class... A>
void launch(cudaStream_t stream, void (*kernel)(P...), Grid grid, unsigned threads,
            std::size_t shared_bytes, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return;
  }
  if (shared_bytes > (48u << 10)) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute of a kernel's shared memory");
  }
#if defined(__CUDACC__)
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = dim3(grid.x, grid.y, grid.z);
  configuration.blockDim = dim3(threads);
  configuration.dynamicSmemBytes = shared_bytes;
  configuration.stream = stream;
  check(cudaLaunchKernelEx(&configuration, kernel, static_cast<P>(arguments)...),
        "launch of a kernel");
#else
  static_cast<void>(stream);
  check(::emulation::launch(kernel, dim3(grid.x, grid.y, grid.z), dim3(threads), shared_bytes,
                            std::tuple<P...>(static_cast<P>(std::forward<A>(arguments))...)),
        "launch of a kernel");
#endif
}

/// Multiprocessors of the current device. Throws cuda_error.
inline int sm_count() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  return count;
}

}  // namespace xmoe::inline XMOE_ABI::cuda
