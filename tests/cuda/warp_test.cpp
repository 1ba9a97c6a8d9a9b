// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/warp.cuh>

#include "emulation_case.hpp"

#include <cmath>
#include <iterator>
#include <limits>
#include <map>

using namespace xmoe;
using cuda::launch;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

template <class T>
struct Reductions {
  T sum, max, min;
  cuda::Indexed<T> best;
  T inclusive;
  cuda::Scanned<T> exclusive;
};
template <class T>
XMOE_KERNEL void reduce_warps(const T* x, Reductions<T>* y) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const T v = x[i];
  y[i] = {cuda::warp_sum(v),           cuda::warp_max(v),
          cuda::warp_min(v),           cuda::warp_argmax(v, static_cast<int>(i * 7 % 32)),
          cuda::warp_inclusive_sum(v), cuda::warp_exclusive_sum(v)};
}
template <class T>
struct BlockSums {
  T sum;
  cuda::Scanned<T> scan;
};
template <class T>
XMOE_KERNEL void reduce_block(const T* x, BlockSums<T>* y) {
  XMOE_SHARED(T, scratch);
  const T sum = cuda::block_sum(x[threadIdx.x], scratch);
  y[threadIdx.x] = {sum, cuda::block_exclusive_sum(x[threadIdx.x], scratch)};
}

template <class T>
std::vector<Reductions<T>> reduced(const std::vector<T>& x) {
  const tests::DeviceArray<T> in(x);
  const tests::DeviceArray<Reductions<T>> out(x.size());
  launch(nullptr, reduce_warps<T>, {static_cast<unsigned>(x.size() / 32)}, 32, 0, in.data(),
         out.data());
  return out.host();
}

/// The documented order: neighbours first.
float tree_sum(const float* x, unsigned count) {
  return count == 1 ? x[0] : tree_sum(x, count / 2) + tree_sum(x + count / 2, count / 2);
}

template <class T>
bool same_bits(T a, T b) {
  if constexpr (sizeof(T) == 4) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
  } else {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("sums, extremes and prefix sums of a warp", "", int, float, double) {
  std::vector<TestType> x(64);
  for (unsigned i = 0; i < 64; ++i) {
    x[i] = static_cast<TestType>(static_cast<int>(i * 37 % 64) - 20);
  }
  const auto y = reduced(x);
  for (unsigned warp = 0; warp < 2; ++warp) {
    TestType sum = 0, max = x[warp * 32], min = max;
    for (unsigned i = warp * 32; i < warp * 32 + 32; ++i) {
      CHECK(y[i].exclusive.before == sum);
      sum += x[i];
      max = x[i] > max ? x[i] : max;
      min = x[i] < min ? x[i] : min;
      CHECK(y[i].inclusive == sum);
    }
    for (unsigned i = warp * 32; i < warp * 32 + 32; ++i) {
      CHECK(y[i].sum == sum);
      CHECK(y[i].exclusive.total == sum);
      CHECK(y[i].max == max);
      CHECK(y[i].min == min);
      CHECK(y[i].best.key == max);
    }
  }
}

TEST_CASE("a warp's sum is one balanced tree, the same bits in every lane") {
  std::vector<float> x(32);
  for (unsigned i = 0; i < 32; ++i) {
    x[i] = static_cast<float>(std::sin(i * 1.7)) * std::exp2(static_cast<float>(i % 9));
  }
  for (const Reductions<float>& lane : reduced(x)) {
    CHECK(same_bits(lane.sum, tree_sum(x.data(), 32)));
  }
}

TEST_CASE("extremes: NaN wins, all lanes agree on the sign of zero") {
  std::vector<float> x(32, 0.0f);
  x[7] = -0.0f;
  x[0] = -0.0f;
  const auto zeros = reduced(x);
  for (const Reductions<float>& lane : zeros) {
    CHECK(same_bits(lane.max, -0.0f));  // the lowest lane's
    CHECK(same_bits(lane.min, -0.0f));
  }
  x[3] = infinity;
  x[30] = not_a_number;
  for (const Reductions<float>& lane : reduced(x)) {
    CHECK(std::isnan(lane.max));
    CHECK(std::isnan(lane.min));
    CHECK(lane.best.key == infinity);
    CHECK(lane.best.index == 21);
  }
}

TEST_CASE("the largest key: ties to the lower index, NaN behind all") {
  // Lane i holds index 7 i mod 32.
  for (const Reductions<float>& lane : reduced(std::vector<float>(32, 2.0f))) {
    CHECK(lane.best.index == 0);
  }
  std::vector<float> x(32, not_a_number);
  for (const Reductions<float>& lane : reduced(x)) {
    CHECK(lane.best.index == 0);
  }
  x[5] = -infinity;  // index 3
  x[9] = -infinity;  // index 31
  for (const Reductions<float>& lane : reduced(x)) {
    CHECK(lane.best.index == 3);
    CHECK(lane.best.key == -infinity);
  }
}

TEST_CASE("sums and prefix sums of a block") {
  for (const unsigned threads : {32u, 64u, 96u, 256u, 1024u}) {
    std::vector<int> x(threads);
    for (unsigned i = 0; i < threads; ++i) {
      x[i] = static_cast<int>(i * 31 % 17) - 5;
    }
    const tests::DeviceArray<int> in(x);
    const tests::DeviceArray<BlockSums<int>> out(threads);
    launch(nullptr, reduce_block<int>, {}, threads, 128, in.data(), out.data());
    const auto y = out.host();
    int sum = 0;
    for (unsigned i = 0; i < threads; ++i) {
      CHECK(y[i].scan.before == sum);
      sum += x[i];
    }
    CHECK(y[0].sum == sum);
    CHECK(y[threads - 1].sum == sum);
    CHECK(y[threads / 2].scan.total == sum);
  }
}

TEST_CASE("warp and block functions give the same bits in any order of threads", "[threads]") {
  const tests::KeptSettings kept;
  std::vector<float> x(64);
  for (unsigned i = 0; i < 64; ++i) {
    x[i] = static_cast<float>(std::sin(i * 0.37));
  }
  std::vector<BlockSums<float>> first;
  for (unsigned seed = 0; seed < 4; ++seed) {
    emulation::settings().seed = seed;
    const tests::DeviceArray<float> in(x);
    const tests::DeviceArray<BlockSums<float>> out(64);
    launch(nullptr, reduce_block<float>, {}, 64, 128, in.data(), out.data());
    const auto y = out.host();
    first = first.empty() ? y : first;
    for (unsigned i = 0; i < 64; ++i) {
      CHECK(same_bits(y[i].sum, first[i].sum));
      CHECK(same_bits(y[i].scan.before, first[i].scan.before));
    }
  }
}

TEST_CASE("every barrier of the block functions is needed", "[threads]") {
  const auto run = [] {
    const tests::DeviceArray<float> in(tests::counting<float>(64));
    const tests::DeviceArray<BlockSums<float>> out(64);
    launch(nullptr, reduce_block<float>, {}, 64, 128, in.data(), out.data());
  };
  run();
  std::map<unsigned, emulation::BarrierSite> found;
  for (const emulation::BarrierSite& site : emulation::barrier_sites()) {
    if (site.file == "warp.cuh") {
      found[site.line] = site;
    }
  }
  REQUIRE(found.size() == 4);
  // The last of the last call only keeps the caller's next use of the scratch memory apart.
  found.erase(std::prev(found.end()));
  for (const auto& [line, site] : found) {
    const emulation::DeletedBarrier deleted(site);
    tests::require_race(run, "warp.cuh", 0);
  }
}
