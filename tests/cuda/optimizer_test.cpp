// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/optimizer.cuh>

#include "grouped_case.hpp"
#include "support/policy_case.hpp"

namespace tests {
namespace {

using xmoe::Panels;
using xmoe::cuda::AdamStep;
using xmoe::cuda::DeviceTrained;
using xmoe::cuda::SgdStep;

template <class W>
xmoe::Parameters list_of(Panels<W>& tensor) {
  return {{"tensor", xmoe::Role::trained, &tensor}};
}

/// Three steps on both sides, the gradient drawn anew; the second weight is changed in between.
template <class W, class Cpu>
void check(int count, std::size_t skew, typename Cpu::Options options) {
  using S = xmoe::sum_type<W>;
  constexpr bool adam = !std::is_same_v<Cpu, xmoe::optimizer::Sgd>;
  Generator random(static_cast<std::uint64_t>(count));
  Panels<W> weight(1, count, 1);
  Panels<S> gradient(1, count, 1);
  std::vector<W> start;
  for (int i = 0; i < count; ++i) {
    start.push_back(xmoe::cuda::from_sum<W>(static_cast<S>(random.normal())));
    weight.at(0, i) = start.back();
  }
  const auto zeros = std::vector<S>(static_cast<std::size_t>(count), S(0));
  const OnDevice<W> w(start, skew);
  const OnDevice<S> first(zeros), second(zeros);
  std::vector<S> widened;
  for (const W x : start) {
    widened.push_back(static_cast<S>(number(x)));
  }
  const OnDevice<S> master(widened);
  xmoe::Parameters parameters = list_of(weight), gradients = list_of(gradient);
  Cpu cpu(parameters, options);
  for (int step = 1; step <= 3; ++step) {
    std::vector<S> g;
    for (int i = 0; i < count; ++i) {
      g.push_back(static_cast<S>(random.normal()));
      gradient.at(0, i) = g.back();
    }
    const OnDevice<S> device_gradient(g);
    DeviceTrained<W> tensor{w.data(), device_gradient.data(), first.data(), nullptr, nullptr,
                            count};
    if (step == 2 && count > 1) {
      const W changed = xmoe::cuda::from_sum<W>(S(7));
      weight.at(0, 1) = changed;
      cudaMemcpyAsync(w.data() + 1, &changed, sizeof(W), cudaMemcpyHostToDevice, nullptr);
    }
    cpu.step(parameters, gradients);
    if constexpr (xmoe::NarrowWeight<W>) {
      tensor.master = master.data();
    }
    if constexpr (adam) {
      tensor.second = second.data();
      const xmoe::optimizer::AdamW::Options all = options;
      optimizer_step(nullptr, tensor, AdamStep<S>::of(all, step));
    } else {
      optimizer_step(nullptr, tensor, SgdStep<S>::of(options));
    }
    std::vector<W> want;
    std::vector<double> want_numbers;
    for (int i = 0; i < count; ++i) {
      want.push_back(weight.at(0, i));
      want_numbers.push_back(number(want.back()));
    }
    require_agreement(w.numbers(), want_numbers, tolerance<S>(16, 4.0));
    REQUIRE((count == 0 || !same_bits(want, start)));  // it moved
  }
}

}  // namespace

TEMPLATE_TEST_CASE("optimizer: the CPU's steps", "[cuda]", float, double, xmoe::bfloat16,
                   xmoe::half) {
  for (const int count : {0, 1, 5, 1030}) {
    for (const std::size_t skew : {std::size_t(0), std::size_t(1)}) {
      INFO(count << " numbers, skew " << skew);
      check<TestType, xmoe::optimizer::Sgd>(count, skew, {0.1f, 0.9f});
      check<TestType, xmoe::optimizer::AdamW>(count, skew, {0.05f, 0.9f, 0.99f, 1e-6f, 0.1f});
    }
  }
}

TEST_CASE("optimizer: zeros that pad a tensor stay zeros", "[cuda]") {
  const std::vector<float> zeros(300, 0.f);
  const OnDevice<float> w(zeros), g(zeros), m(zeros), v(zeros);
  const DeviceTrained<float> tensor{w.data(), g.data(), m.data(), v.data(), nullptr, 300};
  optimizer_step(nullptr, tensor, AdamStep<float>::of({}, 1));
  optimizer_step(nullptr, tensor, SgdStep<float>::of({0.1f, 0.5f}));
  REQUIRE((w.numbers() == zeros && m.numbers() == zeros && v.numbers() == zeros));
}

}  // namespace tests
