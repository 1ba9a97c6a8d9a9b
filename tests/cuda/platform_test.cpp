// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/platform.cuh>

#include <xmoe/core/narrow.hpp>

#include "emulation_case.hpp"

using namespace xmoe;
using cuda::launch;

namespace {

struct Place {
  uint3 thread, block;
  unsigned threads;
  dim3 grid;
  double scalar;
  int shared_alignment;
};
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(128, 2) where_am_i(Place* places, T scalar) {
  XMOE_SHARED(float, memory);
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  places[block * blockDim.x + threadIdx.x] = {
      threadIdx, blockIdx, blockDim.x,
      gridDim,   scalar,   static_cast<int>(reinterpret_cast<std::uintptr_t>(memory) % 128)};
}

template <class T>
XMOE_KERNEL void fill_shared(T* y, unsigned count) {
  XMOE_SHARED(T, memory);
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
    cuda::store_shared(memory + i, static_cast<T>(i));
  }
  XMOE_BARRIER();
  if (threadIdx.x == 0) {
    cuda::store(y, cuda::load_shared<T>(memory + count - 1));
  }
}

/// Each thread copies 16 bytes by way of shared memory.
template <class T>
XMOE_KERNEL void copy(const T* x, T* y) {
  XMOE_SHARED(T, memory);
  const unsigned at = threadIdx.x * 16 / sizeof(T);
  const auto v = cuda::load<uint4>(x + at);
  cuda::store_shared(memory + at, v);
  XMOE_TRACE_SHARED_LOAD(memory + at, 16);
  cuda::store(y + at, cuda::load_shared<uint4>(memory + at));
}

template <class T>
XMOE_KERNEL void every_atomic(T* y) {
  atomicAdd(y, T(threadIdx.x));
  atomicMax(y + 1, T(threadIdx.x));
  atomicMin(y + 2, T(threadIdx.x + 5));
  atomicCAS(y + 3, T(0), T(7));
  atomicExch(y + 4, T(9));
}
template <class T>
XMOE_KERNEL void bit_functions(T* y) {
  y[0] = __popc(0xf0f0u) + __ffs(8) + __clz(1) + __clz(0);
  y[1] = __float_as_int(1.0f);
  y[2] = __ffs(0) + __popcll(~0ull);
  y[3] = static_cast<T>(__ldg(y + 1) >> 23);
}
template <class T>
XMOE_KERNEL void float_sum(T* y) {
  atomicAdd(y, T(0.5));
}

}  // namespace

TEST_CASE("threads know their place, arguments are converted") {
  const tests::DeviceArray<Place> places(2 * 3 * 2 * 64);
  launch(nullptr, where_am_i<double>, {2, 3, 2}, 64, 4, places.data(), 3);
  const std::vector<Place> got = places.host();
  for (unsigned i = 0; i < got.size(); ++i) {
    CHECK(got[i].thread.x == i % 64);
    CHECK(got[i].thread.y + got[i].thread.z == 0);
    CHECK(got[i].block.x == i / 64 % 2);
    CHECK(got[i].block.y == i / 128 % 3);
    CHECK(got[i].block.z == i / 384);
    CHECK(got[i].threads == 64);
    CHECK(got[i].grid.y == 3);
    CHECK(got[i].scalar == 3.0);
    CHECK(got[i].shared_alignment == 0);
  }
}

TEST_CASE("a grid without blocks starts nothing") {
  emulation::reset_counters();
  launch(nullptr, float_sum<float>, {0}, 64, 0, nullptr);
  launch(nullptr, float_sum<float>, {1, 0}, 64, 0, nullptr);
  launch(nullptr, float_sum<float>, {1, 1, 0}, 64, 0, nullptr);
  CHECK(emulation::counters().launches == 0);
}

TEST_CASE("as much shared memory as the device has, and no more") {
  const tests::KeptSettings kept;
  const tests::DeviceArray<unsigned> y(1);
  const auto run = [&](std::size_t bytes) {
    launch(nullptr, fill_shared<unsigned>, {2}, 128, bytes, y.data(),
           static_cast<unsigned>(bytes / sizeof(unsigned)));
    return y.host()[0];
  };
  CHECK(run(48 << 10) == (48 << 8) - 1);
  CHECK(run(163 << 10) == (163 << 8) - 1);
  CHECK_THROWS_AS(run(164 << 10), cuda_error);
  emulation::settings().compute_capability = 90;
  CHECK(run(227 << 10) == (227 << 8) - 1);
  CHECK_THROWS_AS(run(228 << 10), cuda_error);
}

TEST_CASE("impossible launches are refused with the error's name") {
  const tests::DeviceArray<float> y(1);
  for (const unsigned threads : {0u, 1025u}) {
    try {
      launch(nullptr, float_sum<float>, {1}, threads, 0, y.data());
      FAIL("no error");
    } catch (const cuda_error& problem) {
      CHECK(problem.code == cudaErrorInvalidConfiguration);
      CHECK(std::string(problem.what()).find("cudaErrorInvalidConfiguration") != std::string::npos);
    }
  }
  CHECK_THROWS_AS(launch(nullptr, float_sum<float>, {1, 65536}, 32, 0, y.data()), cuda_error);
}

TEMPLATE_TEST_CASE("16 bytes at a time, of any type", "", float, double, std::uint16_t, bfloat16) {
  std::vector<TestType> x(32 * 16 / sizeof(TestType));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = TestType(static_cast<float>(i));
  }
  const tests::DeviceArray<TestType> from(x), to(x.size());
  launch(nullptr, copy<TestType>, {}, 32, 512, from.data(), to.data());
  CHECK(to.host() == x);
}

TEMPLATE_TEST_CASE("atomics", "[threads]", int, unsigned) {
  const tests::DeviceArray<TestType> y(std::vector<TestType>{0, 0, 100, 0, 0});
  launch(nullptr, every_atomic<TestType>, {2}, 64, 0, y.data());
  CHECK(y.host() == std::vector<TestType>{2 * 63 * 32, 63, 5, 7, 9});
}
TEST_CASE("atomic sums of floats", "[threads]") {
  const tests::DeviceArray<float> y(std::vector<float>{0});
  launch(nullptr, float_sum<float>, {3}, 64, 0, y.data());
  CHECK(y.host()[0] == 96);
  const tests::DeviceArray<double> z(std::vector<double>{0});
  launch(nullptr, float_sum<double>, {3}, 64, 0, z.data());
  CHECK(z.host()[0] == 96);
}

TEST_CASE("functions of bits") {
  const tests::DeviceArray<int> y(4);
  launch(nullptr, bit_functions<int>, {}, 1, 0, y.data());
  CHECK(y.host() == std::vector<int>{8 + 4 + 31 + 32, 0x3f800000, 64, 127});
}

TEST_CASE("multiprocessors") {
  const tests::KeptSettings kept;
  CHECK(cuda::sm_count() == 4);
  emulation::settings().multiprocessors = 132;
  CHECK(cuda::sm_count() == 132);
  emulation::settings().devices = 0;
  CHECK_THROWS_AS(cuda::sm_count(), cuda_error);
}
