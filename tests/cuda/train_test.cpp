// SPDX-License-Identifier: Apache-2.0
// Optimizers for lists on the device: those of the CPU, step by step.
#include <xmoe/backend/cuda/train.cuh>

#include "grouped_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

template <class W>
struct Both {
  using S = sum_type<W>;
  Panels<W> weight{2, 3, 5};
  Panels<S> gradient{2, 3, 5};
  cuda::DeviceTensor<W> device_weight{nullptr, 2, 3, 5};
  cuda::DeviceTensor<S> device_gradient{nullptr, 2, 3, 5};

  Both() {
    std::vector<S> w, g;
    for (int i = 0; i < 30; ++i) {
      w.push_back(static_cast<S>(std::sin(i)));
      g.push_back(static_cast<S>(i % 7 == 0 ? 0.0 : std::cos(3 * i)));
    }
    std::vector<W> narrow(w.begin(), w.end());
    weight.load(std::span<const W>(narrow));
    gradient.load(std::span<const S>(g));
    upload();
  }
  void upload() {
    cuda::upload(nullptr, list(), device_list());
    cuda::upload(nullptr, gradients(), device_gradients());
  }
  Parameters list() { return {{"w", Role::trained, &weight}}; }
  Parameters gradients() { return {{"w", Role::trained, &gradient}}; }
  cuda::DeviceParameters device_list() { return {{"w", Role::trained, &device_weight}}; }
  cuda::DeviceParameters device_gradients() { return {{"w", Role::trained, &device_gradient}}; }

  /// The largest difference of a weight.
  double difference() {
    std::vector<double> got(30);
    device_weight.store(nullptr, std::span<double>(got));
    std::vector<W> want(30);
    weight.store(std::span<W>(want));
    double worst = 0.0;
    for (std::size_t i = 0; i < 30; ++i) {
      worst = std::max(worst, std::abs(got[i] - number(want[i])));
    }
    return worst;
  }
};

template <class Method, class W>
void check(typename Method::Options options) {
  Both<W> both;
  Method host(both.list(), options);
  cuda::DeviceOptimizer<Method> device(nullptr, both.device_list(), options);
  for (int step = 0; step < 4; ++step) {
    if (step == 2) {  // from outside
      both.weight.at(1, 1, 1) = W(0.5f);
      both.upload();
    }
    host.step(both.list(), both.gradients());
    CHECK(both.difference() > 1e-4);  // the twin: a step is seen
    const auto before = emulation::counters();
    device.step(both.device_list(), both.device_gradients());
    CHECK(emulation::counters().synchronizations == before.synchronizations);
    CHECK(both.difference() <= rounding<W>());
  }
  CHECK(device.steps() == 4);
}

TEMPLATE_TEST_CASE("device optimizer: AdamW and Sgd are the CPU's", "[cuda][training]", float,
                   double, bfloat16, half) {
  check<optimizer::AdamW, TestType>({.learning_rate = 0.05f});
  check<optimizer::Sgd, TestType>({.learning_rate = 0.05f, .momentum = 0.9f});
}

TEST_CASE("device optimizer: lists that do not match are errors", "[cuda][training][error]") {
  Both<float> both;
  cuda::DeviceOptimizer<optimizer::Sgd> device(nullptr, both.device_list(), {});
  CHECK_THROWS_AS(device.step(both.device_list(), {}), shape_error);
  cuda::DeviceTensor<float> other(nullptr, 2, 3, 9);
  CHECK_THROWS_AS(device.step(both.device_list(), {{"w", Role::trained, &other}}), shape_error);
  cuda::DeviceTensor<double> wide(nullptr, 2, 3, 5);
  CHECK_THROWS_AS(device.step(both.device_list(), {{"w", Role::trained, &wide}}), shape_error);
  CHECK(device.steps() == 0);
}

TEST_CASE("device optimizer: what is remembered is not stepped", "[cuda][training]") {
  Both<float> both;
  auto list = both.device_list();
  list[0].role = Role::remembered;
  cuda::DeviceOptimizer<optimizer::Sgd> device(nullptr, list, {.learning_rate = 1.f});
  device.step(list, both.device_gradients());
  CHECK(both.difference() == 0.0);
}

}  // namespace
}  // namespace tests
