// SPDX-License-Identifier: Apache-2.0
// Bugs of memory and of waiting, planted. Each has to be seen: by an exception, by NaN, or by the
// address sanitizer.
#include "emulation_case.hpp"

#include <xmoe/backend/cuda/ptx.cuh>
#include <xmoe/backend/cuda/warp.cuh>

using namespace xmoe;
using cuda::launch;

namespace {

/// What the one lambda of a test does in every thread.
template <class F>
XMOE_KERNEL void each_thread(F f) {
  f();
}
template <class F>
void run(unsigned threads, std::size_t shared_bytes, F f) {
  launch(nullptr, each_thread<F>, {}, threads, shared_bytes, f);
}

constexpr unsigned all = 0xffffffffu;

}  // namespace

TEST_CASE("shared memory is as long as asked for, and NaN at first") {
  const tests::DeviceArray<float> y(4);
  float* out = y.data();
  run(2, 8, [=] {
    XMOE_SHARED(float, memory);
    out[threadIdx.x] = memory[threadIdx.x];
  });
  CHECK(tests::all_ones(y.host()[0]));
  CHECK(tests::all_ones(y.host()[1]));

  const auto read_beyond = [=] {
    XMOE_SHARED(float, memory);
    memory[threadIdx.x] = 1;
    XMOE_BARRIER();
    out[threadIdx.x] = memory[threadIdx.x + 1];
  };
  const auto write_beyond = [] {
    XMOE_SHARED(float, memory);
    memory[threadIdx.x + 1] = 1;
  };
  if (!tests::address_sanitizer && !tests::thread_sanitizer) {
    run(2, 8, read_beyond);
    CHECK(tests::all_ones(y.host()[1]));
    CHECK_FAULT("past the end of its shared memory of 8 bytes", [&] { run(2, 8, write_beyond); });
  }
  tests::require_address_error([&] { run(2, 8, read_beyond); }, "heap-buffer-overflow");
  tests::require_address_error([&] { run(2, 8, write_beyond); }, "heap-buffer-overflow");
  CHECK_FAULT("not in the block's shared memory", [] {
    run(2, 8, [] {
      XMOE_SHARED(float, memory);
      cuda::store_shared(memory + threadIdx.x + 1, 1.0f);
    });
  });
}

TEST_CASE("global memory is as long as asked for, and NaN at first") {
  const tests::DeviceArray<float> y(3), z(1);
  CHECK(tests::all_ones(y.host()[2]));
  float* out = y.data();
  float* other = z.data();
  CHECK(reinterpret_cast<std::uintptr_t>(out) % 256 == 0);
  const auto read_beyond = [=] { other[0] = out[3]; };
  const auto write_beyond = [=] { out[3] = 1; };
  if (!tests::address_sanitizer && !tests::thread_sanitizer) {
    run(1, 0, read_beyond);
    CHECK(tests::all_ones(z.host()[0]));
    const emulation::ChildResult result = emulation::run_in_child([&] { run(1, 0, write_beyond); });
    CHECK(result.says("wrote 0 bytes past the end of an allocation of 12 bytes"));
  }
  tests::require_address_error([&] { run(1, 0, read_beyond); }, "use-after-poison");
  tests::require_address_error([&] { run(1, 0, write_beyond); }, "use-after-poison");

  float* freed = nullptr;
  cuda::check(cudaMalloc(&freed, 4), "cudaMalloc");
  cuda::check(cudaMemset(freed, 0, 4), "cudaMemset");
  cuda::check(cudaFree(freed), "cudaFree");
  const auto use_freed = [=] { other[0] = freed[0]; };
  if (!tests::address_sanitizer) {
    run(1, 0, use_freed);
    CHECK(tests::all_ones(z.host()[0]));
  }
  tests::require_address_error([&] { run(1, 0, use_freed); }, "use-after-poison");
}

TEST_CASE("misaligned accesses") {
  const tests::DeviceArray<float> y(8);
  float* out = y.data();
  CHECK_FAULT("misaligned", [=] { run(1, 0, [=] { cuda::store(out + 1, float4{1, 2, 3, 4}); }); });
  CHECK_FAULT("misaligned", [=] {
    run(1, 64, [=] {
      XMOE_SHARED(float, memory);
      cuda::load_shared<float2>(memory + 1);
    });
  });
#if EMULATION_ASAN
  const emulation::ChildResult result = emulation::run_in_child(
      [=] { run(1, 0, [=] { reinterpret_cast<float4*>(out + 1)->x = 1; }); });
  INFO(result.text);
  CHECK(result.says("misaligned address"));
  CHECK_FALSE(result.clean());
#endif
}

TEST_CASE("host and device do not touch each other's memory") {
  const tests::DeviceArray<float> y(1);
  float host = 0;
  float* const on_host = &host;
  float* const on_device = y.data();
  CHECK_FAULT("not in the device's global memory",
              [=] { run(1, 0, [=] { cuda::store(on_host, 1.0f); }); });
  const emulation::ChildResult reads =
      emulation::run_in_child([=] { *static_cast<volatile float*>(on_device); });
  CHECK_FALSE(reads.clean());
  const tests::KeptSettings kept;
  const emulation::ChildResult without = emulation::run_in_child([=] {
    emulation::settings().hygiene = false;
    run(1, 0, [=] { on_device[0] = 1; });
    *static_cast<volatile float*>(on_device);
  });
  CHECK(without.clean());
  CHECK_FAULT("device function called by host code", [] { __popc(threadIdx.x); });
}

TEST_CASE("a barrier in divergent code") {
  CHECK_FAULT("divergent barrier", [] {
    run(64, 0, [] {
      if (threadIdx.x < 32) {
        XMOE_BARRIER();
      } else {
        XMOE_BARRIER();
      }
    });
  });
  CHECK_FAULT("threads 0-15 32-63", [] {
    run(64, 0, [] {
      if (threadIdx.x >= 16 && threadIdx.x < 32) {
        __ballot_sync(all, 1);
      } else {
        XMOE_BARRIER();
      }
    });
  });
  CHECK_FAULT("divergent barrier", [] {
    run(32, 0, [] {
      if (threadIdx.x == 3) {
        XMOE_BARRIER();
      } else {
        __ballot_sync(all, 1);
      }
    });
  });
  run(64, 0, [] {  // threads that have returned are not waited for
    if (threadIdx.x < 40) {
      XMOE_BARRIER();
    }
  });
}

TEST_CASE("warp functions check masks and operations") {
  CHECK_FAULT("not in its own mask", [] { run(32, 0, [] { __shfl_sync(0xfffeu, 1, 0); }); });
  CHECK_FAULT("different masks",
              [] { run(32, 0, [] { __ballot_sync(threadIdx.x < 16 ? all : 0x7fffffffu, 1); }); });
  CHECK_FAULT("other lanes of the mask are in __any_sync", [] {
    run(32, 0, [] {
      if (threadIdx.x == 0) {
        __any_sync(all, 1);
      } else {
        __all_sync(all, 1);
      }
    });
  });
  CHECK_FAULT("width 12", [] { run(32, 0, [] { __shfl_sync(all, 1, 0, 12); }); });
  CHECK_FAULT("without all of its lanes", [] {
    run(32, 0, [] {
      if (threadIdx.x < 31) {
        float d[4] = {};
        const unsigned a[4] = {}, b[2] = {};
        cuda::mma_m16n8k16<bfloat16>(d, a, b);
      }
    });
  });
}

TEST_CASE("a lane outside of the mask gives NaN") {
  const tests::DeviceArray<float> y(32);
  float* out = y.data();
  run(32, 0, [=] {
    if (threadIdx.x < 8) {
      out[threadIdx.x] = __shfl_sync(0xffu, 1.0f, static_cast<int>(threadIdx.x + 4));
    }
  });
  CHECK(y.host()[3] == 1);
  CHECK(tests::all_ones(y.host()[4]));
}

TEST_CASE("copies that were not waited for have not arrived") {
  const tests::DeviceArray<float> x(tests::counting<float>(8)), y(8);
  const float* in = x.data();
  float* out = y.data();
  const auto read_after = [&y, in, out](auto wait) {
    run(2, 32, [=] {
      XMOE_SHARED(float, memory);
      cuda::cp_async_16(memory + 4 * threadIdx.x, in + 4 * threadIdx.x);
      cuda::cp_async_commit();
      wait();
      XMOE_BARRIER();
      out[4 * threadIdx.x] = memory[4 * (1 - threadIdx.x) + 3];
    });
    return y.host()[0];
  };
  CHECK(read_after([] { cuda::cp_async_wait<0>(); }) == 7);
  CHECK(tests::all_ones(read_after([] {})));
  CHECK(tests::all_ones(read_after([] { cuda::cp_async_wait<1>(); })));
  const tests::KeptSettings kept;
  emulation::settings().delayed_copies = false;
  CHECK(read_after([] {}) == 7);
}

TEST_CASE("a stack that overflows meets its guard") {
  const emulation::ChildResult result = emulation::run_in_child([] {
    run(1, 0, [] {
      volatile char* low = static_cast<volatile char*>(__builtin_alloca(16));
      for (std::size_t depth = 0; depth < emulation::detail::Stack::bytes; depth += 64) {
        low[-static_cast<std::ptrdiff_t>(depth)] = 0;
      }
    });
  });
  CHECK_FALSE(result.clean());
}

TEST_CASE("what a kernel throws comes out of the launch, and the next launch runs") {
  for (int repeat = 0; repeat < 100; ++repeat) {
    CHECK_FAULT("divergent barrier", [] {
      run(64, 16, [] {
        __shfl_sync(threadIdx.x % 2 == 0 ? all : 0x1u << threadIdx.x % 32, 1, 0);
        XMOE_BARRIER();
      });
    });
  }
  const tests::DeviceArray<float> y(1);
  float* out = y.data();
  run(64, 16, [=] {
    XMOE_BARRIER();
    if (threadIdx.x == 0) {
      out[0] = 1;
    }
  });
  CHECK(y.host()[0] == 1);
}
