// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/buffer.cuh>

#include "emulation_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

TEST_CASE("device buffer: up, down, filled, moved", "[cuda]") {
  cuda::DeviceBuffer<int> a(5, uninitialized);
  a.zero(nullptr);
  std::vector<int> numbers(5, 7);
  a.download(nullptr, numbers);
  CHECK(numbers == std::vector<int>(5, 0));
  a.upload(nullptr, std::vector<int>{1, 2, 3, 4, 5});
  cuda::DeviceBuffer<int> b(std::move(a));
  CHECK(a.size() == 0);
  CHECK(a.data() == nullptr);
  b.download(nullptr, numbers);
  CHECK(numbers == std::vector<int>{1, 2, 3, 4, 5});
  b.fill(nullptr, 0xff);
  b.download(nullptr, numbers);
  CHECK(numbers == std::vector<int>(5, -1));
  CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 256 == 0);
}

TEST_CASE("device buffer: every allocation is given back", "[cuda]") {
  const auto before = emulation::counters();
  {
    cuda::DeviceBuffer<double> a(3, uninitialized), b(4, uninitialized), nothing(0, uninitialized);
    a = std::move(b);
    cuda::DeviceWorkspace w(1000);
    w = cuda::DeviceWorkspace(500);
  }
  const auto after = emulation::counters();
  CHECK(after.allocations - before.allocations == 4);
  CHECK(after.frees - before.frees == 4);
}

TEST_CASE("device buffer: errors", "[cuda][error]") {
  cuda::DeviceBuffer<int> a(5, uninitialized);
  std::vector<int> numbers(4);
  CHECK_THROWS_AS(a.upload(nullptr, numbers), shape_error);
  CHECK_THROWS_AS(a.download(nullptr, numbers), shape_error);
  CHECK_THROWS_AS(cuda::DeviceBuffer<int>(-1, uninitialized), shape_error);
  CHECK_THROWS_AS(cuda::DeviceBuffer<double>(xmoe::index(1) << 58, uninitialized), cuda_error);
}

TEST_CASE("device workspace: parts begin at multiples of 256 bytes; sizes are measured", "[cuda]") {
  const auto take = [](cuda::DeviceWorkspace& w) {
    auto* const a = w.take<char>(1);
    const cuda::DeviceWorkspace::Scope scope(w);
    auto* const b = w.take<double>(33);
    return std::pair(reinterpret_cast<std::uintptr_t>(a), reinterpret_cast<std::uintptr_t>(b));
  };
  auto size = cuda::DeviceWorkspace::measure();
  take(size);
  CHECK(size.peak() == 256 + 512);
  cuda::DeviceWorkspace w(size.peak());
  const auto [a, b] = take(w);
  CHECK(a % 256 == 0);
  CHECK(b - a == 256);
  CHECK_THROWS_AS(take(w), value_error);  // the first part is still taken
  w.clear();
  CHECK(take(w) == std::pair(a, b));
}

}  // namespace
}  // namespace tests
