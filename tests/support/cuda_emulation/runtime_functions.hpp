// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runtime_api.hpp"

// Memory, streams, events, errors, attributes: what host code calls by CUDA's names.

inline cudaError_t cudaGetLastError() {
  return std::exchange(emulation::detail::last_error, cudaSuccess);
}
inline cudaError_t cudaPeekAtLastError() { return emulation::detail::last_error; }

inline const char* cudaGetErrorName(cudaError_t status) {
#define EMULATION_NAME(name) \
  case name:                 \
    return #name;
  switch (status) {
    EMULATION_NAME(cudaSuccess)
    EMULATION_NAME(cudaErrorInvalidValue)
    EMULATION_NAME(cudaErrorMemoryAllocation)
    EMULATION_NAME(cudaErrorInitializationError)
    EMULATION_NAME(cudaErrorInvalidConfiguration)
    EMULATION_NAME(cudaErrorInvalidMemcpyDirection)
    EMULATION_NAME(cudaErrorInsufficientDriver)
    EMULATION_NAME(cudaErrorNoDevice)
    EMULATION_NAME(cudaErrorInvalidDevice)
    EMULATION_NAME(cudaErrorInvalidResourceHandle)
    EMULATION_NAME(cudaErrorNotReady)
    EMULATION_NAME(cudaErrorIllegalAddress)
    EMULATION_NAME(cudaErrorLaunchOutOfResources)
    EMULATION_NAME(cudaErrorLaunchFailure)
    EMULATION_NAME(cudaErrorNotSupported)
    EMULATION_NAME(cudaErrorStreamCaptureUnsupported)
    EMULATION_NAME(cudaErrorUnknown)
  }
#undef EMULATION_NAME
  return "unrecognized error code";
}
inline const char* cudaGetErrorString(cudaError_t status) { return cudaGetErrorName(status); }

// --- Memory.
inline cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return emulation::detail::call([&] {
    ++emulation::detail::atomic_counters().allocations;
    *pointer = bytes == 0 ? nullptr : emulation::detail::device_memory().allocate(bytes);
    return *pointer == nullptr && bytes != 0 ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}
template <class T>
cudaError_t cudaMalloc(T** pointer, std::size_t bytes) {
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes);
  *pointer = static_cast<T*>(p);
  return status;
}
inline cudaError_t cudaFree(void* pointer) {
  return emulation::detail::call([&] {
    emulation::detail::atomic_counters().frees += pointer == nullptr ? 0 : 1;
    return pointer == nullptr || emulation::detail::device_memory().release(pointer)
               ? cudaSuccess
               : cudaErrorInvalidValue;
  });
}
template <class T>
cudaError_t cudaMallocAsync(T** pointer, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(pointer, bytes);
}
inline cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return cudaFree(pointer); }
template <class T>
cudaError_t cudaMallocHost(T** pointer, std::size_t bytes) {
  return emulation::detail::call([&] {
    ++emulation::detail::atomic_counters().allocations;
    *pointer = static_cast<T*>(std::malloc(bytes));
    return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}
inline cudaError_t cudaFreeHost(void* pointer) {
  return emulation::detail::call([&] {
    ++emulation::detail::atomic_counters().frees;
    std::free(pointer);
    return cudaSuccess;
  });
}

inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes,
                                   cudaMemcpyKind kind, cudaStream_t = nullptr) {
  return emulation::detail::call([&] { return emulation::detail::copy(to, from, bytes, kind); });
}
/// Waits for the device, unlike the one before.
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  ++emulation::detail::atomic_counters().synchronizations;
  return cudaMemcpyAsync(to, from, bytes, kind);
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                                     std::size_t from_pitch, std::size_t width, std::size_t height,
                                     cudaMemcpyKind kind, cudaStream_t = nullptr) {
  return emulation::detail::call([&] {
    if (width > to_pitch || width > from_pitch) {
      return cudaErrorInvalidValue;
    }
    for (std::size_t row = 0; row < height; ++row) {
      const cudaError_t status =
          emulation::detail::copy(static_cast<char*>(to) + row * to_pitch,
                                  static_cast<const char*>(from) + row * from_pitch, width, kind);
      if (status != cudaSuccess) {
        return status;
      }
    }
    return cudaSuccess;
  });
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t = nullptr) {
  return emulation::detail::call([&] {
    if (bytes != 0 && !emulation::detail::device_memory().live(to, bytes)) {
      return cudaErrorInvalidValue;
    }
    ++emulation::detail::atomic_counters().fills;
    const emulation::detail::OpenDevice open;
    if (bytes != 0) {
      std::memset(to, value, bytes);
    }
    return cudaSuccess;
  });
}
inline cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes);
}
inline cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  return emulation::detail::call([&] {
    *free_bytes = *total = emulation::detail::DeviceMemory::reserved;
    return cudaSuccess;
  });
}

// --- Streams.
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return emulation::detail::call([&] {
    ++emulation::detail::atomic_counters().streams;
    *stream = new CUstream_st;
    return cudaSuccess;
  });
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return emulation::detail::call([&] {
    delete stream;
    return cudaSuccess;
  });
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return emulation::detail::synchronize(); }
inline cudaError_t cudaDeviceSynchronize() { return emulation::detail::synchronize(); }
inline cudaError_t cudaStreamQuery(cudaStream_t) {
  return emulation::detail::call([] { return cudaSuccess; });
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned = 0) {
  return emulation::detail::call([] { return cudaSuccess; });
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  return emulation::detail::call([&] {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
  });
}

#include "runtime_device.hpp"
