// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "runtime_functions.hpp"

// Events, the device's and the kernels' attributes.

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return emulation::detail::call([&] {
    ++emulation::detail::atomic_counters().events;
    *event = new CUevent_st;
    return cudaSuccess;
  });
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return emulation::detail::call([&] {
    delete event;
    return cudaSuccess;
  });
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t = nullptr) {
  return emulation::detail::call([&] {
    event->recorded = true;
    event->when = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return emulation::detail::synchronize(); }
inline cudaError_t cudaEventQuery(cudaEvent_t) {
  return emulation::detail::call([] { return cudaSuccess; });
}
/// The time that the emulation took. It says nothing about a device.
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return emulation::detail::call([&] {
    if (!from->recorded || !to->recorded) {
      return cudaErrorInvalidResourceHandle;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
    return cudaSuccess;
  });
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  const cudaError_t status = emulation::detail::begin_call();
  *count = status == cudaSuccess ? emulation::settings().devices : 0;
  return emulation::detail::result(status);
}
inline cudaError_t cudaGetDevice(int* device) {
  return emulation::detail::call([&] {
    *device = 0;
    return cudaSuccess;
  });
}
inline cudaError_t cudaSetDevice(int device) {
  return emulation::detail::call([&] {
    return device >= 0 && device < emulation::settings().devices ? cudaSuccess
                                                                 : cudaErrorInvalidDevice;
  });
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulation::settings().devices == 0 ? 0 : 13000;
  return cudaSuccess;
}
inline cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return emulation::detail::call([&] {
    const emulation::Settings& s = emulation::settings();
    if (device < 0 || device >= s.devices) {
      return cudaErrorInvalidDevice;
    }
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
        *value = 1024;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = static_cast<int>(emulation::detail::shared_limit);
        break;
      case cudaDevAttrWarpSize:
        *value = 32;
        break;
      case cudaDevAttrMultiProcessorCount:
        *value = s.multiprocessors;
        break;
      case cudaDevAttrComputeCapabilityMajor:
        *value = s.compute_capability / 10;
        break;
      case cudaDevAttrComputeCapabilityMinor:
        *value = s.compute_capability % 10;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(emulation::detail::shared_limit_optin());
        break;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = static_cast<int>(emulation::detail::shared_limit_optin() + 1024);
        break;
      default:
        *value = 0;  // clocks and caches: there are none
    }
    return cudaSuccess;
  });
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return emulation::detail::call([&] {
    const emulation::Settings& s = emulation::settings();
    if (device < 0 || device >= s.devices) {
      return cudaErrorInvalidDevice;
    }
    *properties = {};
    properties->totalGlobalMem = emulation::detail::DeviceMemory::reserved;
    properties->major = s.compute_capability / 10;
    properties->minor = s.compute_capability % 10;
    properties->multiProcessorCount = s.multiprocessors;
    properties->sharedMemPerBlockOptin = emulation::detail::shared_limit_optin();
    return cudaSuccess;
  });
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute attribute, int value) {
  return emulation::detail::call([&] {
    const bool fits =
        attribute != cudaFuncAttributeMaxDynamicSharedMemorySize ||
        (value >= 0 && static_cast<std::size_t>(value) <= emulation::detail::shared_limit_optin());
    return fits ? cudaSuccess : cudaErrorInvalidValue;
  });
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel*) {
  return emulation::detail::call([&] {
    *attributes = {};
    return cudaSuccess;
  });
}
/// By threads and shared memory alone: registers are not known.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int threads,
                                                          std::size_t shared_bytes) {
  return emulation::detail::call([&] {
    if (threads < 1 || threads > 1024) {
      return cudaErrorInvalidValue;
    }
    const std::size_t by_threads = 2048 / static_cast<std::size_t>(threads);
    const std::size_t by_memory =
        (emulation::detail::shared_limit_optin() + 1024) / (shared_bytes + 1024);
    const std::size_t most = by_threads < by_memory ? by_threads : by_memory;
    *blocks = static_cast<int>(most < 32 ? most : 32);
    return cudaSuccess;
  });
}
