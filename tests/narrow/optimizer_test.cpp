// SPDX-License-Identifier: Apache-2.0
// Optimizers on weights of 16 bits: small steps add up in a float copy.
#include <xmoe/training/optimizer/adam.hpp>
#include <xmoe/training/optimizer/sgd.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using optimizer::Adam;
using optimizer::AdamW;
using optimizer::clip_by_norm;
using optimizer::Sgd;
using tests::same_bits;

/// Narrow matrices [2,3,5] and [1,35,2], a float vector and a remembered narrow one; gradients.
template <class W>
struct List {
  Panels<W> a{2, 3, 5}, b{1, 35, 2}, d{1, 2, 2};
  Panels<float> c{1, 4, 1}, da{2, 3, 5}, db{1, 35, 2}, dc{1, 4, 1}, dd{1, 2, 2};
  Parameters parameters{{"a", Role::trained, &a},
                        {"b", Role::trained, &b},
                        {"c", Role::trained, &c},
                        {"d", Role::remembered, &d}};
  Parameters gradients{{"a", Role::trained, &da},
                       {"b", Role::trained, &db},
                       {"c", Role::trained, &dc},
                       {"d", Role::remembered, &dd}};

  List() {
    tests::Generator random(1);
    const auto fill = [&](auto& panels) {
      panels.load(tests::narrow<float>(tests::normals(random, panels.size())));
    };
    fill(a);
    fill(b);
    fill(c);
    fill(d);
    fill(da);
    fill(db);
    fill(dc);
    fill(dd);
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
};

/// All numbers of a tensor as floats, without padding.
template <class S>
std::vector<float> plain(const Panels<S>& p) {
  std::vector<float> numbers(static_cast<std::size_t>(p.size()));
  p.store(numbers);
  return numbers;
}
template <class W>
std::vector<float> rounded(std::vector<float> numbers) {
  for (float& v : numbers) {
    v = static_cast<float>(W(v));
  }
  return numbers;
}
template <class W>
std::vector<float> weights(const List<W>& list) {
  std::vector<float> all = plain(list.a);
  for (const std::vector<float>& more : {plain(list.b), plain(list.c)}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}
/// The float copy of a tensor, by its name.
Panels<float>& named(const Parameters& state, const std::string& name) {
  for (const Parameter& p : state) {
    if (p.name == name) {
      return p.as<float>();
    }
  }
  FAIL("no tensor " << name);
  throw std::logic_error("unreachable");
}
index not_zero(const auto& panels) {
  const auto values = panels.values();
  return values.size() - std::count_if(values.begin(), values.end(),
                                       [](auto v) { return static_cast<float>(v) == 0.f; });
}

TEMPLATE_TEST_CASE("narrow weights: small steps add up", "[training][narrow]", bfloat16, half) {
  using W = TestType;
  List<W> list;
  const std::vector<float> ones(30, 1.f);
  list.a.load(ones);
  list.da.load(ones);
  W direct(1.f);  // the twin: rounded after every step, it never moves
  Sgd sgd(list.parameters, {.learning_rate = 1e-4f});
  float exact = 1.f;
  for (int step = 0; step < 500; ++step) {
    sgd.step(list.parameters, list.gradients);
    exact -= 1e-4f;
    direct = W(static_cast<float>(direct) - 1e-4f);
  }
  CHECK(direct == W(1.f));
  const std::vector<float> got = plain(list.a);
  for (const float v : got) {
    CHECK(std::abs(v - 0.95f) < 0.95f * 0x1p-8f);
    CHECK(v == static_cast<float>(W(exact)));
  }
  CHECK(not_zero(list.a) == list.a.size());  // padding stays zero
}

/// What a float layer of the same start does, rounded, is what narrow weights show.
template <class W, class Optimizer>
void check_follows_float(Optimizer (*make)(const Parameters&)) {
  List<W> list;
  List<float> wide;
  wide.a.load(plain(list.a));
  wide.b.load(plain(list.b));
  Optimizer narrow_optimizer = make(list.parameters);
  Optimizer float_optimizer = make(wide.parameters);
  const std::vector<float> start = weights(list);
  for (int step = 0; step < 40; ++step) {
    narrow_optimizer.step(list.parameters, list.gradients);
    float_optimizer.step(wide.parameters, wide.gradients);
    const Parameters state = narrow_optimizer.state(list.parameters);
    INFO("step " << step);
    CHECK(same_bits(plain(named(state, "master.a")), plain(wide.a)));
    CHECK(same_bits(plain(named(state, "master.b")), plain(wide.b)));
    CHECK(same_bits(plain(list.a), rounded<W>(plain(wide.a))));
    CHECK(same_bits(plain(list.b), rounded<W>(plain(wide.b))));
    CHECK(same_bits(plain(list.c), plain(wide.c)));  // float parameters as ever
    for (float& g : list.da.values()) {
      g *= -0.75f;
    }
    wide.da = list.da;
  }
  CHECK(weights(list) != start);
  CHECK(not_zero(list.a) == list.a.size());
  CHECK(not_zero(list.b) == list.b.size());
  CHECK(plain(list.d) == plain(List<W>().d));  // remembered: not trained
}

Sgd make_sgd(const Parameters& p) { return Sgd(p, {.learning_rate = 1e-3f, .momentum = 0.9f}); }
AdamW make_adam(const Parameters& p) { return AdamW(p, {.learning_rate = 1e-4f, .decay = 0.1f}); }

TEMPLATE_TEST_CASE("narrow weights: the rounded float copy, step by step", "[training][narrow]",
                   bfloat16, half) {
  check_follows_float<TestType, Sgd>(make_sgd);
  check_follows_float<TestType, AdamW>(make_adam);
}

TEMPLATE_TEST_CASE("narrow weights: a change from outside counts", "[training][narrow]", bfloat16,
                   half) {
  using W = TestType;
  List<W> list;
  Sgd sgd(list.parameters, {.learning_rate = 1e-4f});
  sgd.step(list.parameters, list.gradients);
  const float kept = named(sgd.state(list.parameters), "master.a").at(1, 2, 4);
  list.a.at(0, 1, 2) = W(8.f);
  sgd.step(list.parameters, list.gradients);
  const Panels<float>& master = named(sgd.state(list.parameters), "master.a");
  CHECK(master.at(0, 1, 2) == 8.f - 1e-4f * list.da.at(0, 1, 2));
  CHECK(list.a.at(0, 1, 2) == W(8.f));
  CHECK(master.at(1, 2, 4) == kept - 1e-4f * list.da.at(1, 2, 4));  // the others go on
  CHECK(kept != static_cast<float>(list.a.at(1, 2, 4)));
}

template <class W, class Optimizer>
void check_continues(Optimizer (*make)(const Parameters&), std::size_t moments) {
  List<W> one, two;
  Optimizer first = make(one.parameters), second = make(two.parameters);
  for (int step = 0; step < 7; ++step) {
    first.step(one.parameters, one.gradients);
  }
  const Parameters from = first.state(one.parameters), to = second.state(two.parameters);
  REQUIRE(from.size() == 4 * moments + 3);  // float copies of a, b, d
  CHECK(from[4 * moments].name == "master.a");
  CHECK(from[4 * moments + 1].name == "master.b");
  CHECK(from[4 * moments + 2].name == "master.d");
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i].name == to[i].name);
    CHECK(from[i].role == Role::remembered);
    to[i].as<float>() = from[i].as<float>();
  }
  two.a = one.a;
  two.b = one.b;
  two.c = one.c;
  if constexpr (requires { second.steps(); }) {
    second.steps() = first.steps();
  }
  List<W> third;  // without the float copies
  Optimizer other = make(third.parameters);
  third.a = one.a;
  for (int step = 0; step < 7; ++step) {
    first.step(one.parameters, one.gradients);
    second.step(two.parameters, two.gradients);
    other.step(third.parameters, third.gradients);
  }
  CHECK(same_bits(weights(one), weights(two)));
  const auto master = [](Optimizer& o, List<W>& l) {
    return plain(named(o.state(l.parameters), "master.a"));
  };
  CHECK(same_bits(master(first, one), master(second, two)));
  CHECK_FALSE(same_bits(master(first, one), master(other, third)));
}

TEMPLATE_TEST_CASE("narrow weights: the state continues elsewhere, bit for bit",
                   "[training][narrow]", bfloat16, half) {
  check_continues<TestType, Sgd>(make_sgd, 1);
  check_continues<TestType, AdamW>(make_adam, 2);
}

TEMPLATE_TEST_CASE("narrow weights: lists that are not gradients are refused", "[training][narrow]",
                   bfloat16, half) {
  using W = TestType;
  List<W> list;
  CHECK(clip_by_norm(list.gradients, 1.0) > 1.0);
  CHECK(tests::message_of<value_error>([&] { clip_by_norm(list.parameters, 1.0); }) ==
        "xmoe::optimizer: 'a' holds weights, not gradients");
  const std::vector<float> before = weights(list);
  Sgd sgd = make_sgd(list.parameters);
  CHECK_THROWS_AS(sgd.step(list.parameters, list.parameters), shape_error);
  CHECK_THROWS_AS(sgd.step(list.gradients, list.parameters), shape_error);
  CHECK(same_bits(before, weights(list)));
}

}  // namespace
}  // namespace xmoe
