// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/optimizer/sgd.hpp>

#include "support/catch.hpp"
#include "training/optimizer/list_case.hpp"

namespace xmoe {
namespace {

using optimizer::Sgd;
using tests::List;

TEMPLATE_TEST_CASE("sgd: steps by hand", "[training]", float, double) {
  List<TestType> list;
  Sgd sgd(list.parameters, {.learning_rate = 0.125f, .momentum = 0.5f});
  reference::Vector w = list.values(), v(w.size(), 0.0);
  for (int step = 0; step < 3; ++step) {
    if (step == 2) {
      sgd.options().learning_rate = 0.25f;
    }
    sgd.step(list.parameters, list.gradients);
    for (std::size_t i = 0; i < w.size(); ++i) {
      v[i] = 0.5 * v[i] + list.slopes()[i];
      w[i] -= (step == 2 ? 0.25 : 0.125) * v[i];
    }
    tests::check_close<TestType>("weights", list.values(), w, 4);
  }
  CHECK(list.c.at(0, 0) == TestType(7));  // remembered: not trained
  CHECK(tests::relative_error(list.values(), List<TestType>().values()) > 0.1);
}

TEST_CASE("sgd: without momentum the gradient itself", "[training]") {
  List<double> list;
  Sgd sgd(list.parameters, {.learning_rate = 0.5f});
  sgd.step(list.parameters, list.gradients);
  sgd.step(list.parameters, list.gradients);
  CHECK(list.values() == reference::Vector{0.5, 3, 3, 3.75, 3, 9, -1.001, 50});
}

TEST_CASE("sgd: its state continues elsewhere", "[training]") {
  List<double> one, two;
  Sgd first(one.parameters, {.learning_rate = 0.1f, .momentum = 0.9f});
  first.step(one.parameters, one.gradients);
  Sgd second(two.parameters, {.learning_rate = 0.1f, .momentum = 0.9f});
  const Parameters from = first.state(one.parameters), to = second.state(two.parameters);
  REQUIRE(from.size() == 3);
  CHECK(from[0].name == "velocity.a");
  CHECK(from[0].role == Role::remembered);
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i].as<double>() = from[i].as<double>();
  }
  two.a = one.a;
  two.b = one.b;
  first.step(one.parameters, one.gradients);
  second.step(two.parameters, two.gradients);
  CHECK(one.values() == two.values());
}

TEST_CASE("sgd: errors", "[training]") {
  List<double> list;
  Sgd sgd(list.parameters, {});
  Parameters fewer = list.gradients;
  fewer.pop_back();
  CHECK(tests::message_of<shape_error>([&] { sgd.step(list.parameters, fewer); }) ==
        "xmoe::optimizer::Sgd::step: 3 parameters, 2 gradients, made for 3 tensors");
  Parameters other = list.gradients;
  std::swap(other[0], other[1]);
  CHECK(
      tests::message_of<shape_error>([&] { sgd.step(list.parameters, other); }) ==
      "xmoe::optimizer::Sgd::step: tensor 0: parameter 'a' has 6 numbers, gradient 'b' has 2, the "
      "optimizer was made for 6; shape, order or scalar differ");
  // as many tensors, of other shapes: not what the velocities were made for
  Panels<double> large(2, 3, 4), gradient(2, 3, 4), small(1, 2, 3);
  Sgd made_for_small({{"w", Role::trained, &small}}, {});
  CHECK_THROWS_AS(
      made_for_small.step({{"w", Role::trained, &large}}, {{"w", Role::trained, &gradient}}),
      shape_error);
  Panels<float> narrow(1, 2, 3), narrow_gradient(1, 2, 3);
  CHECK_THROWS_AS(made_for_small.step({{"w", Role::trained, &narrow}},
                                      {{"w", Role::trained, &narrow_gradient}}),
                  shape_error);
}

}  // namespace
}  // namespace xmoe
