// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/tensor.cuh>

#include "grouped_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

template <class W>
std::vector<W> stored(const cuda::DeviceTensor<W>& t) {
  std::vector<W> numbers(static_cast<std::size_t>(t.stored()));
  cudaMemcpyAsync(numbers.data(), t.data(), numbers.size() * sizeof(W), cudaMemcpyDeviceToHost,
                  nullptr);
  return numbers;
}

TEMPLATE_TEST_CASE("device tensor: load and store are inverses, gaps stay zero", "[cuda]", float,
                   double, bfloat16, half) {
  cuda::DeviceTensor<TestType> t(nullptr, 2, 3, 5);
  CHECK(t.ld() == 8);
  CHECK(t.size() == 30);
  std::vector<float> numbers;
  for (int i = 0; i < 30; ++i) {
    numbers.push_back(static_cast<float>(i + 1));
  }
  t.load(nullptr, std::span<const float>(numbers));
  const auto memory = stored(t);
  for (int row = 0; row < 6; ++row) {
    for (int col = 0; col < 8; ++col) {
      CHECK(number(memory[static_cast<std::size_t>(row * 8 + col)]) ==
            (col < 5 ? row * 5 + col + 1 : 0));
    }
  }
  std::vector<double> back(30);
  t.store(nullptr, std::span<double>(back));
  CHECK(std::equal(back.begin(), back.end(), numbers.begin()));
}

TEST_CASE("device tensor: numbers are rounded to the nearest, ties to even", "[cuda]") {
  cuda::DeviceTensor<bfloat16> t(nullptr, 1, 1, 3);
  t.load(nullptr,
         std::span<const double>(std::vector<double>{1.0 + 0x1p-8, 1.0 + 3 * 0x1p-8, -0.1}));
  std::vector<float> back(3);
  t.store(nullptr, std::span<float>(back));
  CHECK(back[0] == 1.f);
  CHECK(back[1] == 1.f + 0x1p-6f);
  CHECK(back[2] == static_cast<float>(bfloat16(-0.1f)));
}

TEST_CASE("device tensor: gates come first, whatever the outside order", "[cuda]") {
  const std::vector<float> numbers = {0, 1, 2, 3};  // one expert, two units, one column
  cuda::DeviceTensor<float> a(nullptr, 1, 4, 1, RowOrder::gate_up_concatenated);
  cuda::DeviceTensor<float> b(nullptr, 1, 4, 1, RowOrder::gate_up_interleaved);
  a.load(nullptr, std::span<const float>(numbers));
  b.load(nullptr, std::span<const float>(numbers));
  CHECK(stored(a) == std::vector<float>{0, 1, 2, 3});
  CHECK(stored(b) == std::vector<float>{0, 2, 1, 3});
  std::vector<float> back(4);
  b.store(nullptr, std::span<float>(back));
  CHECK(back == numbers);
}

TEST_CASE("device tensor: a vector has no gaps", "[cuda]") {
  const cuda::DeviceTensor<float> t(nullptr, 3, 5, 1);
  CHECK(t.ld() == 1);
  CHECK(t.stored() == 15);
}

TEST_CASE("device tensor: lists are copied by name, both ways", "[cuda]") {
  Panels<float> host(2, 3, 5), back(2, 3, 5);
  for (xmoe::index i = 0; i < 2; ++i) {
    for (xmoe::index row = 0; row < 3; ++row) {
      for (xmoe::index col = 0; col < 5; ++col) {
        host.at(i, row, col) = static_cast<float>(100 * i + 10 * row + col);
      }
    }
  }
  cuda::DeviceTensor<bfloat16> device(nullptr, 2, 3, 5);
  const cuda::DeviceParameters list = {{"w", Role::trained, &device}};
  cuda::upload(nullptr, {{"w", Role::trained, &host}}, list);
  cuda::download(nullptr, list, {{"w", Role::trained, &back}});
  CHECK(back.at(1, 2, 4) == 124.f);
  CHECK(std::equal(back.values().begin(), back.values().end(), host.values().begin()));
  CHECK(cuda::count(list) == 30);
  CHECK_THROWS_AS(cuda::upload(nullptr, {{"v", Role::trained, &host}}, list), shape_error);
  CHECK_THROWS_AS(cuda::upload(nullptr, {}, list), shape_error);
  Panels<float> other(2, 3, 6);
  CHECK_THROWS_AS(cuda::download(nullptr, list, {{"w", Role::trained, &other}}), shape_error);
}

TEST_CASE("device tensor: wrong counts are errors", "[cuda][error]") {
  cuda::DeviceTensor<float> t(nullptr, 2, 3, 5);
  std::vector<float> numbers(29);
  CHECK_THROWS_AS(t.load(nullptr, std::span<const float>(numbers)), shape_error);
  CHECK_THROWS_AS(t.store(nullptr, std::span<float>(numbers)), shape_error);
  CHECK_THROWS_AS(cuda::DeviceTensor<float>(nullptr, 1, -1, 5), shape_error);
}

}  // namespace
}  // namespace tests
