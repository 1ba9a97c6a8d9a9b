// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: what it counts, what it refuses.
#include "emulation_case.hpp"

#include <algorithm>
#include <thread>

using namespace xmoe;
using cuda::launch;

namespace {

template <class T>
XMOE_KERNEL void double_all(T* x) {
  XMOE_BARRIER();
  x[blockIdx.x * blockDim.x + threadIdx.x] *= T(2);
}

template <class T>
XMOE_KERNEL void block_order(T* next, T* order) {
  if (threadIdx.x == 0) {
    order[atomicAdd(next, T(1))] = T(blockIdx.x);
  }
}

template <class T>
XMOE_KERNEL void many_waits(T* y) {
  for (int i = 0; i < 100; ++i) {
    y[threadIdx.x] += __shfl_xor_sync(0xffffffffu, T(1), 1);
    XMOE_BARRIER();
  }
}

}  // namespace

TEST_CASE("calls are counted") {
  emulation::reset_counters();
  {
    const tests::DeviceArray<float> x(tests::counting<float>(64));
    launch(nullptr, double_all<float>, {2}, 32, 0, x.data());
    CHECK(x.host()[63] == 126);
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;
    CHECK(cudaStreamCreate(&stream) == cudaSuccess);
    CHECK(cudaEventCreate(&event) == cudaSuccess);
    CHECK(cudaMemsetAsync(x.data(), 0, 256, stream) == cudaSuccess);
    CHECK(cudaEventRecord(event, stream) == cudaSuccess);
    CHECK(cudaEventSynchronize(event) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    CHECK(x.host()[63] == 0);
  }
  const emulation::Counters c = emulation::counters();
  CHECK(c.launches == 1);
  CHECK(c.blocks == 2);
  CHECK(c.threads == 64);
  CHECK(c.allocations == 1);
  CHECK(c.frees == 1);
  CHECK(c.copies == 3);
  CHECK(c.copies_to_host == 2);
  CHECK(c.copied_bytes == 3 * 256);
  CHECK(c.fills == 1);
  CHECK(c.synchronizations == 3);
  CHECK(c.events == 1);
  CHECK(c.streams == 1);
  emulation::reset_counters();
  CHECK(emulation::counters().launches == 0);
}

TEST_CASE("copies have to lie in allocations, and in the direction given") {
  const tests::DeviceArray<float> x(4), y(4);
  float host[8] = {};
  CHECK(cudaMemcpy(x.data(), host, 16, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(y.data(), x.data(), 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(x.data(), host, 16, cudaMemcpyDefault) == cudaSuccess);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMemcpy(x.data(), host, 20, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, x.data() + 2, 12, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, x.data(), 4, cudaMemcpyHostToDevice) == cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemcpy(host, host + 1, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemset(x.data(), 0, 17) == cudaErrorInvalidValue);
  CHECK(cudaMemset(host, 0, 4) == cudaErrorInvalidValue);
  CHECK(cudaFree(host) == cudaErrorInvalidValue);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMemcpy2DAsync(y.data(), 8, host, 12, 8, 2, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy2DAsync(y.data(), 8, host, 12, 9, 2, cudaMemcpyHostToDevice) ==
        cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
}

TEST_CASE("memory is found again after it was freed, and does run out") {
  for (int repeat = 0; repeat < 200; ++repeat) {
    const tests::DeviceArray<char> kept_alive(1);
    const tests::DeviceArray<char> large(std::size_t{1} << 20);
    CHECK(large.data() != nullptr);
  }
  void* p = nullptr;
  CHECK(cudaMalloc(&p, std::size_t{1} << 40) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 0) == cudaSuccess);
  CHECK(p == nullptr);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  void* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 16) == cudaSuccess);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("a machine without a driver, and calls that are made to fail") {
  const tests::KeptSettings kept;
  int count = -1;
  void* p = nullptr;
  emulation::settings().devices = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(count == 0);
  CHECK(cudaMalloc(&p, 16) == cudaErrorInsufficientDriver);
  CHECK_THROWS_AS(launch(nullptr, double_all<float>, {1}, 32, 0, nullptr), cuda_error);
  emulation::settings().devices = 1;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  emulation::fail_after(1, cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 16) == cudaSuccess);
  void* q = nullptr;
  CHECK(cudaMalloc(&q, 16) == cudaErrorMemoryAllocation);
  CHECK(cudaFree(p) == cudaSuccess);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(std::string(cudaGetErrorName(cudaErrorNoDevice)) == "cudaErrorNoDevice");
}

TEST_CASE("attributes of the device and of kernels") {
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  CHECK(value == 8);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) == cudaSuccess);
  CHECK(value == 163 << 10);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1) == cudaErrorInvalidDevice);
  CHECK(cudaFuncSetAttribute(double_all<float>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             200 << 10) == cudaErrorInvalidValue);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, double_all<float>) == cudaSuccess);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&value, double_all<float>, 256, 0) ==
        cudaSuccess);
  CHECK(value == 8);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&value, double_all<float>, 256, 80 << 10) ==
        cudaSuccess);
  CHECK(value == 2);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.major == 8);
  CHECK(cudaGetDeviceProperties(&properties, 1) == cudaErrorInvalidDevice);
  cudaGetLastError();
}

TEST_CASE("the seed permutes blocks too") {
  const tests::KeptSettings kept;
  const auto order_of = [](unsigned seed) {
    emulation::settings().seed = seed;
    const tests::DeviceArray<int> next(std::vector<int>{0}), order(16);
    launch(nullptr, block_order<int>, {16}, 32, 0, next.data(), order.data());
    return order.host();
  };
  CHECK(order_of(0) == tests::counting<int>(16));
  std::vector<int> permuted = order_of(3);
  CHECK(permuted != tests::counting<int>(16));
  CHECK(permuted == order_of(3));
  CHECK(permuted != order_of(4));
  std::sort(permuted.begin(), permuted.end());
  CHECK(permuted == tests::counting<int>(16));
}

TEST_CASE("host threads launch side by side", "[threads]") {
  std::vector<std::thread> threads;
  std::vector<float> results(3);
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&results, t] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        const tests::DeviceArray<float> y(std::vector<float>(64, 0.0f));
        launch(nullptr, many_waits<float>, {}, 64, 0, y.data());
        results[t] += y.host()[t];
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(results == std::vector<float>(3, 500.0f));
}
