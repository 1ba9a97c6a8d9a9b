// SPDX-License-Identifier: Apache-2.0
// Bugs of ordering, planted. The thread sanitizer has to see each; the correct twins have to be
// silent under all sanitizers.
#include "emulation_case.hpp"

#include <xmoe/backend/cuda/warp.cuh>

using xmoe::cuda::launch;

namespace {

template <class T>
XMOE_KERNEL void reverse(const T* x, T* y) {
  XMOE_SHARED(T, memory);
  const unsigned i = threadIdx.x;
  memory[i] = x[i];
  XMOE_BARRIER();
  y[i] = memory[blockDim.x - 1 - i];
}
constexpr unsigned reverse_barrier = __LINE__ - 3, reverse_read = __LINE__ - 2;

template <class T>
XMOE_KERNEL void rotate(const T* x, T* y) {
  XMOE_SHARED(T, memory);
  const unsigned i = threadIdx.x;
  memory[i] = x[i];
  XMOE_WARP_BARRIER(0xffffffffu);
  y[i] = memory[i / 32 * 32 + (i + 1) % 32];
}
constexpr unsigned rotate_barrier = __LINE__ - 3, rotate_read = __LINE__ - 2;

template <class T>
XMOE_KERNEL void two_writers(T* y) {
  y[threadIdx.x / 2] = T(threadIdx.x);
}
constexpr unsigned two_writers_write = __LINE__ - 2;

template <class T>
XMOE_KERNEL void increment(T* y) {
  if (threadIdx.x == 0) {
    y[0] += T(1);
  }
}
constexpr unsigned increment_write = __LINE__ - 3;

template <class T>
XMOE_KERNEL void increment_atomically(T* y) {
  atomicAdd(y, T(1));
}

/// A shuffle orders no memory.
template <class T>
XMOE_KERNEL void ordered_by_shuffle(T* y) {
  XMOE_SHARED(T, memory);
  memory[threadIdx.x] = T(threadIdx.x);
  const T sum = xmoe::cuda::warp_sum(T(1));
  y[threadIdx.x] = memory[threadIdx.x ^ 1] + sum;
}
constexpr unsigned shuffle_read = __LINE__ - 2;

/// The last block to arrive adds what all have stored: ordered by fences.
template <class T>
XMOE_KERNEL void last_block_adds(T* parts, unsigned* arrived, T* y) {
  XMOE_SHARED(unsigned, ticket);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = T(blockIdx.x + 1);
    __threadfence();
    ticket[0] = atomicAdd(arrived, 1u);
  }
  XMOE_BARRIER();
  if (ticket[0] == gridDim.x - 1) {
    __threadfence();
    T sum = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) {
      sum += parts[b];
    }
    if (threadIdx.x == 0) {
      y[0] = sum;
    }
  }
}

template <class T>
XMOE_KERNEL void lanes_leave_early(T* y, unsigned lanes) {
  XMOE_SHARED(T, memory);
  if (threadIdx.x % 32 >= lanes) {
    return;
  }
  memory[threadIdx.x] = T(1);
  XMOE_BARRIER();
  const T sum = __shfl_xor_sync(0xffffffffu, memory[threadIdx.x ^ 1], 1);
  y[threadIdx.x] = sum;
}

std::vector<float> run_reverse(unsigned threads) {
  const tests::DeviceArray<float> x(tests::counting<float>(threads)), y(threads);
  launch(nullptr, reverse<float>, {}, threads, threads * sizeof(float), x.data(), y.data());
  return y.host();
}
std::vector<float> run_rotate(unsigned threads) {
  const tests::DeviceArray<float> x(tests::counting<float>(threads)), y(threads);
  launch(nullptr, rotate<float>, {}, threads, threads * sizeof(float), x.data(), y.data());
  return y.host();
}

}  // namespace

TEST_CASE("a missing block barrier is a race, and wrong values", "[threads]") {
  const std::vector<float> right = run_reverse(64);
  CHECK(right[0] == 63);
  CHECK(right[63] == 0);
  const emulation::DeletedBarrier deleted("emulation_races_test.cpp", reverse_barrier);
  if (!tests::thread_sanitizer) {
    CHECK(tests::all_ones(run_reverse(64)[0]));  // nothing was stored there yet
  }
  CHECK(deleted.arrivals() >= 64);
  tests::require_race([] { run_reverse(64); }, __FILE__, reverse_read);
}

TEST_CASE("a warp that relies on lock step is a race", "[threads]") {
  CHECK(run_rotate(64)[31] == 0);
  const emulation::DeletedBarrier deleted("emulation_races_test.cpp", rotate_barrier, true);
  if (!tests::thread_sanitizer) {
    CHECK(tests::all_ones(run_rotate(64)[0]));
  }
  tests::require_race([] { run_rotate(64); }, __FILE__, rotate_read);
}

TEST_CASE("a barrier comes back when its deletion ends", "[threads]") {
  {
    const emulation::DeletedBarrier deleted("emulation_races_test.cpp", reverse_barrier);
    CHECK(deleted.arrivals() >= 0);
  }
  CHECK(run_reverse(64)[0] == 63);
  unsigned found = 0;
  for (const emulation::BarrierSite& site : emulation::barrier_sites()) {
    if (site.file == "emulation_races_test.cpp" && site.line == reverse_barrier && !site.warp) {
      CHECK(site.arrivals >= 64);
      CHECK_FALSE(site.deleted);
      ++found;
    }
  }
  CHECK(found == 1);
}

TEST_CASE("two threads that store to one address are a race", "[threads]") {
  tests::require_race(
      [] {
        const tests::DeviceArray<float> y(16);
        launch(nullptr, two_writers<float>, {}, 32, 0, y.data());
      },
      __FILE__, two_writers_write);
}

TEST_CASE("two blocks that add without atomics are a race", "[threads]") {
  tests::require_race(
      [] {
        const tests::DeviceArray<float> y(std::vector<float>{0});
        launch(nullptr, increment<float>, {2}, 32, 0, y.data());
      },
      __FILE__, increment_write);
  tests::require_race(
      [] {  // blocks far apart, many fibers after each other
        const tests::DeviceArray<float> y(std::vector<float>{0});
        launch(nullptr, increment<float>, {20}, 32, 0, y.data());
      },
      __FILE__, increment_write);
}

TEST_CASE("a shuffle is no barrier", "[threads]") {
  tests::require_race(
      [] {
        const tests::DeviceArray<float> y(32);
        launch(nullptr, ordered_by_shuffle<float>, {}, 32, 128, y.data());
      },
      __FILE__, shuffle_read);
}

TEST_CASE("correct kernels are clean, block after block, launch after launch", "[threads]") {
  for (int repeat = 0; repeat < 3; ++repeat) {
    const tests::DeviceArray<float> x(tests::counting<float>(64)), y(64);
    launch(nullptr, reverse<float>, {1}, 64, 256, x.data(), y.data());
    launch(nullptr, reverse<float>, {1}, 64, 256, y.data(), x.data());
    launch(nullptr, rotate<float>, {1}, 64, 256, x.data(), y.data());
    CHECK(y.host()[0] == 1);
  }
  const tests::DeviceArray<int> count(std::vector<int>{0});
  launch(nullptr, increment_atomically<int>, {4}, 64, 0, count.data());
  CHECK(count.host()[0] == 256);
  const tests::DeviceArray<float> early(64);
  launch(nullptr, lanes_leave_early<float>, {}, 64, 256, early.data(), 16u);
  CHECK(early.host()[47] == 1);
  CHECK(tests::all_ones(early.host()[48]));
}

TEST_CASE("fences and a ticket order blocks", "[threads]") {
  const tests::DeviceArray<float> parts(8), y(1);
  const tests::DeviceArray<unsigned> arrived(std::vector<unsigned>{0});
  launch(nullptr, last_block_adds<float>, {8}, 32, 4, parts.data(), arrived.data(), y.data());
  CHECK(y.host()[0] == 36);
}

TEST_CASE("a permuted order changes what races give, and nothing else", "[threads]") {
  const tests::KeptSettings kept;
  const std::vector<float> right = run_rotate(64);
  for (unsigned seed = 1; seed <= 4; ++seed) {
    emulation::settings().seed = seed;
    CHECK(run_rotate(64) == right);
  }
  if (!tests::thread_sanitizer) {
    const auto last_of = [](unsigned seed) {
      emulation::settings().seed = seed;
      const tests::DeviceArray<float> y(16);
      launch(nullptr, two_writers<float>, {}, 32, 0, y.data());
      return y.host();
    };
    CHECK(last_of(0) != last_of(1));
    CHECK(last_of(1) == last_of(1));
    CHECK(last_of(1) != last_of(2));
  }
}
