// SPDX-License-Identifier: Apache-2.0
// What changes between steps: control::LoadBias, Schedule, CoefficientServo.
#include <xmoe/training/control/load_bias.hpp>

#include <xmoe/training/control/coefficient_servo.hpp>
#include <xmoe/training/control/schedule.hpp>

#include <cmath>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using control::CoefficientServo;
using control::LoadBias;
using control::Schedule;

TEST_CASE("load bias: figures", "[training]") {
  Panels<double> bias(1, 8, 1);
  const index load[] = {2, 1, 2, 1, 0, 0, 1, 1};
  LoadBias{1e-3f}.update(bias, load);
  const double step = static_cast<double>(1e-3f);
  std::vector<double> got(8);
  bias.store(got);
  CHECK(got == std::vector<double>{-step, 0, -step, 0, step, step, 0, 0});
  const index one[] = {7};
  Panels<float> alone(1, 1, 1);
  LoadBias{}.update(alone, one);
  CHECK(alone.at(0, 0, 0) == 0.f);
  CHECK(tests::message_of<shape_error>([&] { LoadBias{}.update(alone, load); }) ==
        "xmoe::control::LoadBias: load has 8 numbers, the bias is 1 x 1");
  CHECK_THROWS_AS(LoadBias{-1.f}.update(alone, one), value_error);
}

TEST_CASE("load bias: a router that prefers one expert becomes balanced", "[training]") {
  using Layer = MoeLayer<
      Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
      expert::Ffn<activation::Relu>, dispatch::Dropless>;
  Layer layer({4, 8, 2}, {.router = {.select = {{2}}}}, cpu::Backend(1));
  layer.initialize({.seed = 3});
  tests::Generator random(4);
  std::vector<float> x;
  for (index i = 0; i < 512 * 4; ++i) {
    x.push_back(static_cast<float>(1.0 + random.normal()));  // tokens look alike
  }
  std::vector<float> y(x.size());
  const auto jain = [&](bool change) {
    auto tape = layer.record(In<float>(x.data(), 512, 4), Out<float>(y.data(), 512, 4));
    const Statistics s = layer.statistics(tape);
    for (const Parameter& p : layer.parameters()) {
      if (change && p.name == "router.select.bias") {
        LoadBias{0.003f}.update(p.as<float>(), s.claims);
      }
    }
    return s.jain_index;
  };
  const double before = jain(false);
  for (int step = 0; step < 500; ++step) {
    jain(true);
  }
  CHECK(before < 0.6);
  CHECK(jain(false) > 0.9);
}

TEST_CASE("schedule: k of random dropout, and temperatures", "[training]") {
  const Schedule k{.first = 1, .last = 8, .end = 100};
  CHECK(k.count_at(0) == 1);
  CHECK(k.count_at(50) == 5);  // 3.5 rounds to the even 4
  CHECK(k.count_at(100) == 8);
  CHECK(k.count_at(-5) == 1);
  CHECK(k.count_at(1000) == 8);
  const Schedule tau{2.0, 0.125, 10, 30, Schedule::Path::geometric};
  CHECK(tau.at(20) == Approx(0.5));
  CHECK(tau.at(10) == 2.0);
  CHECK(tau.at(30) == 0.125);
  CHECK((Schedule{2.0, 0.125, 10, 30}.at(20)) != Approx(0.5));  // twin: linear
  CHECK((Schedule{3, 4, 5, 5}.at(5)) == 4.0);
  CHECK_THROWS_AS((Schedule{1, 2, 5, 4}.at(0)), value_error);
  CHECK_THROWS_AS((Schedule{1, 0, 0, 4, Schedule::Path::geometric}.at(0)), value_error);
}

TEST_CASE("coefficient servo: towards the target", "[training]") {
  const CoefficientServo servo{.target = 0.25};
  CHECK(servo.next(1e-8, 0.5) == Approx(1.2e-8));
  CHECK(servo.next(1.2e-8, 0.1) == Approx(1e-8));
  CHECK(servo.next(1e-8, 0.25) == 1e-8);
  CHECK(servo.next(1e-8, std::nan("")) == 1e-8);
  CHECK_THROWS_AS(servo.next(0.0, 0.5), value_error);
  // activity = 1 / (1 + c) settles within a factor of its target's coefficient, 3
  double c = 1e-3;
  for (int step = 0; step < 100; ++step) {
    c = servo.next(c, 1.0 / (1.0 + c));
  }
  CHECK((c > 3.0 / 1.3 && c < 3.0 * 1.3));
}

}  // namespace
}  // namespace xmoe
