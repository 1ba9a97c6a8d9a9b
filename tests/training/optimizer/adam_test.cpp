// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/optimizer/adam.hpp>

#include "support/catch.hpp"
#include "training/optimizer/list_case.hpp"

namespace xmoe {
namespace {

using optimizer::Adam;
using optimizer::AdamW;
using tests::exactly;
using tests::List;

/// The published update in double.
struct Naive {
  AdamW::Options o;
  reference::Vector w, m, v;
  int steps = 0;

  Naive(AdamW::Options options, reference::Vector start)
      : o(options), w(std::move(start)), m(w.size(), 0.0), v(w.size(), 0.0) {}
  void step(const reference::Vector& g) {
    ++steps;
    const double b1 = exactly(o.beta1), b2 = exactly(o.beta2);
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = b1 * m[i] + (1.0 - b1) * g[i];
      v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
      const double mean = m[i] / (1.0 - std::pow(b1, steps));
      const double square = v[i] / (1.0 - std::pow(b2, steps));
      w[i] -= exactly(o.learning_rate) *
              (mean / (std::sqrt(square) + exactly(o.epsilon)) + exactly(o.decay) * w[i]);
    }
  }
};

TEMPLATE_TEST_CASE("adam: steps by hand", "[training]", float, double) {
  using S = TestType;
  for (const float decay : {0.f, 0.1f}) {
    List<S> list;
    AdamW::Options options{
        .learning_rate = 0.05f, .beta1 = 0.9f, .beta2 = 0.98f, .epsilon = 1e-8f, .decay = decay};
    AdamW adam(list.parameters, options);
    Naive naive(options, list.values()), undecayed(options, list.values());
    undecayed.o.decay = 0.f;
    for (int step = 0; step < 5; ++step) {
      adam.step(list.parameters, list.gradients);
      naive.step(list.slopes());
      undecayed.step(list.slopes());
      INFO("decay " << decay << ", step " << step);
      tests::check_close<S>("weights", list.values(), naive.w, 4 * (step + 1));
      for (S& g : list.da.values()) {  // another gradient each step
        g *= S(-0.5);
      }
    }
    CHECK(adam.steps() == 5);
    CHECK(list.c.at(0, 0) == S(7));
    const double allowed = tests::tolerance<S>(20, tests::magnitude(naive.w));
    CHECK(tests::difference(list.values(), undecayed.w, allowed).close == (decay == 0.f));
  }
}

TEST_CASE("adam: the first step is the rate against the sign", "[training]") {
  List<double> list;
  Adam adam(list.parameters, {.learning_rate = 0.25f, .epsilon = 0.f});
  list.da.at(0, 0, 2) = 1e-3;  // where it was 0: 0 / 0 without epsilon
  adam.step(list.parameters, list.gradients);
  CHECK(tests::relative_error(list.values(), {0.75, 2.25, 2.75, 3.75, 4.75, 6.25, -1.25, 10.25}) <
        1e-12);
}

TEST_CASE("adam: no gradient, no movement; padding stays zero", "[training]") {
  List<float> list;
  AdamW adam(list.parameters, {.decay = 0.f});
  list.da.zero();
  for (int i = 0; i < 3; ++i) {
    adam.step(list.parameters, list.gradients);
  }
  CHECK(list.a.at(0, 1, 2) == 6.f);
  double sum = 0.0;
  for (const float w : list.a.values()) {
    sum += static_cast<double>(w);
  }
  CHECK(sum == 21.0);
}

TEST_CASE("adam: its state continues elsewhere", "[training]") {
  List<double> one, two;
  const Adam::Options options{.learning_rate = 0.1f};
  Adam first(one.parameters, options), second(two.parameters, options);
  first.step(one.parameters, one.gradients);
  first.step(one.parameters, one.gradients);
  const Parameters from = first.state(one.parameters), to = second.state(two.parameters);
  REQUIRE(from.size() == 6);
  CHECK(from[0].name == "first.a");
  CHECK(from[3].name == "second.a");
  CHECK(from[5].name == "second.c");
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i].as<double>() = from[i].as<double>();
  }
  two.a = one.a;
  two.b = one.b;
  second.steps() = first.steps();
  first.step(one.parameters, one.gradients);
  second.step(two.parameters, two.gradients);
  CHECK(one.values() == two.values());
  CHECK(first.steps() == 3);
}

TEST_CASE("adam: the rate may change between steps", "[training]") {
  List<double> list;
  Adam adam(list.parameters, {.learning_rate = 0.f});
  adam.step(list.parameters, list.gradients);
  CHECK(list.values() == List<double>().values());
  adam.options().learning_rate = 0.5f;
  adam.step(list.parameters, list.gradients);
  CHECK(list.values() != List<double>().values());
}

TEST_CASE("adam: errors", "[training]") {
  List<double> list;
  List<float> other;
  Adam adam(list.parameters, {});
  CHECK(tests::message_of<shape_error>([&] { adam.step(list.parameters, {}); }) ==
        "xmoe::optimizer::AdamW::step: 3 parameters, 0 gradients, made for 3 tensors");
  CHECK_THROWS_AS(adam.step(list.parameters, other.gradients), shape_error);
  CHECK(adam.steps() == 0);
}

}  // namespace
}  // namespace xmoe
