// SPDX-License-Identifier: Apache-2.0
// What the access tracer counts, against numbers found by hand.
#include "emulation_case.hpp"

#include <xmoe/backend/cuda/ptx.cuh>

using namespace xmoe;
using cuda::launch;
using emulation::Access;

namespace {

constexpr const char* here = "emulation_trace_test.cpp";

/// A warp stores a tile [8,32] of bfloat16 by 16 bytes and loads fragments by 4.
template <class S>
XMOE_KERNEL void tile(S* memory_of_tests, unsigned pitch) {
  XMOE_SHARED(S, memory);
  const unsigned lane = threadIdx.x;
  cuda::store_shared(memory + lane / 4 * pitch + lane % 4 * 8, uint4{0, 0, 0, 0});
  XMOE_WARP_BARRIER(0xffffffffu);
  const auto pair = cuda::load_shared<unsigned>(memory + lane / 4 * pitch + lane % 4 * 2);
  if (pair != 0) {
    memory_of_tests[0] = S();
  }
}
constexpr unsigned tile_store = __LINE__ - 7, tile_load = __LINE__ - 5;

template <class S>
XMOE_KERNEL void matrix(unsigned* out, unsigned pitch) {
  XMOE_SHARED(S, memory);
  unsigned r[4];
  cuda::ldmatrix_x4(r, memory + threadIdx.x * pitch);
  if (r[0] == 0) {
    out[0] = r[0];
  }
}
constexpr unsigned matrix_load = __LINE__ - 5;

template <class S>
XMOE_KERNEL void rows_and_columns(const S* x, S* y, unsigned pitch) {
  const S a = cuda::load<S>(x + threadIdx.x);
  const S b = cuda::load<S>(x + threadIdx.x * pitch);
  const S sum = S::from_bits(static_cast<std::uint16_t>(a.bits + b.bits));
  cuda::store(y + blockIdx.x * 32 + threadIdx.x, sum);
}
constexpr unsigned after_rows = __LINE__;
constexpr unsigned row_load = after_rows - 5, column_load = after_rows - 4;
constexpr unsigned result_store = after_rows - 2;

template <class T>
XMOE_KERNEL void read_repeatedly(const T* x, T* y, unsigned times) {
  T sum = 0;
  for (unsigned i = 0; i < times; ++i) {
    sum += cuda::load<T>(x + threadIdx.x);
  }
  cuda::store(y + threadIdx.x, sum);
}
constexpr unsigned repeated_load = __LINE__ - 4;

}  // namespace

TEST_CASE("bank conflicts of padded tiles") {
  const tests::DeviceArray<bfloat16> out(1);
  struct Case {
    unsigned pitch;
    long load, store;
  };
  // Without padding loads collide; with 8 elements of it stores do.
  for (const Case c : {Case{32, 4, 4}, Case{40, 1, 8}}) {
    const emulation::Trace trace;
    launch(nullptr, tile<bfloat16>, {}, 32, 8 * c.pitch * 2, out.data(), c.pitch);
    const auto load = trace.site(here, tile_load, Access::shared_load);
    const auto store = trace.site(here, tile_store, Access::shared_store);
    CHECK(load.requests == 1);
    CHECK(load.accesses == 32);
    CHECK(load.bytes == 128);
    CHECK(load.wavefronts == c.load);
    CHECK(load.ideal_wavefronts == 1);
    CHECK(store.wavefronts == c.store);
    CHECK(store.ideal_wavefronts == 4);
    CHECK(store.bytes == 512);
  }
}

TEST_CASE("bank conflicts of ldmatrix") {
  const tests::DeviceArray<unsigned> out(1);
  struct Case {
    unsigned pitch;
    long wavefronts;
  };
  for (const Case c : {Case{8, 4}, Case{32, 16}, Case{64, 32}, Case{72, 4}}) {
    const emulation::Trace trace;
    launch(nullptr, matrix<bfloat16>, {}, 32, 32 * c.pitch * 2, out.data(), c.pitch);
    const auto load = trace.site(here, matrix_load, Access::shared_load);
    CHECK(load.wavefronts == c.wavefronts);
    CHECK(load.ideal_wavefronts == 4);
  }
}

TEST_CASE("sectors of rows and columns") {
  const tests::DeviceArray<bfloat16> x(std::vector<bfloat16>(32 * 64)), y(64);
  const emulation::Trace trace;
  launch(nullptr, rows_and_columns<bfloat16>, {2}, 32, 0, x.data(), y.data(), 64u);
  const auto row = trace.site(here, row_load, Access::load);
  const auto column = trace.site(here, column_load, Access::load);
  const auto store = trace.site(here, result_store, Access::store);
  CHECK(row.requests == 2);  // one a block
  CHECK(row.sectors == 2 * 2);
  CHECK(row.ideal_sectors == 2 * 2);
  CHECK(row.distinct_bytes == 64);
  CHECK(column.sectors == 2 * 32);
  CHECK(column.ideal_sectors == 2 * 2);
  CHECK(store.accesses == 64);
  CHECK(store.sectors == 4);
  CHECK(store.distinct_bytes == 128);
  CHECK(trace.totals().load_bytes == 2 * 128);
  CHECK(trace.totals().load_sectors == 2 * 34);
  CHECK(trace.totals().distinct_load_bytes == 64 + 64 - 2);  // the first element is in both
  CHECK(trace.totals().store_bytes == 128);
  CHECK(trace.totals().distinct_store_bytes == 128);
  CHECK(trace.report().find("emulation_trace_test.cpp:" + std::to_string(row_load)) !=
        std::string::npos);
}

TEST_CASE("what is read again counts again, but is one byte of memory a launch") {
  const tests::DeviceArray<float> x(tests::counting<float>(64)), y(64);
  const emulation::Trace trace;
  for (int repeat = 0; repeat < 2; ++repeat) {
    launch(nullptr, read_repeatedly<float>, {}, 64, 0, x.data(), y.data(), 5u);
  }
  const auto load = trace.site(here, repeated_load, Access::load);
  CHECK(load.requests == 2 * 2 * 5);
  CHECK(load.bytes == 2 * 256 * 5);
  CHECK(load.sectors == 2 * 8 * 5);
  CHECK(load.distinct_bytes == 2 * 256);
  CHECK(y.host()[63] == 315);
}

TEST_CASE("nothing is counted without a trace, one at a time counts") {
  const tests::DeviceArray<float> x(tests::counting<float>(64)), y(64);
  {
    const emulation::Trace trace;
    CHECK_THROWS_AS(emulation::Trace(), emulation::fault);
    CHECK(trace.sites().empty());
  }
  launch(nullptr, read_repeatedly<float>, {}, 64, 0, x.data(), y.data(), 1u);
  const emulation::Trace trace;
  CHECK(trace.sites().empty());
  CHECK(trace.site(here, repeated_load, Access::load).requests == 0);
}
