// SPDX-License-Identifier: Apache-2.0
// The oracle's backward against central differences of its forward; its order of odd numbers.
#include <limits>

#include "support/catch.hpp"
#include "support/random_case.hpp"
#include "support/tolerance.hpp"

namespace {

using namespace reference;
using reference::index;

/// <dy, y> + losses, with the choice frozen.
double objective(const Setup& setup, const Matrix& x, const Matrix& dy) {
  const Forward f = forward(setup, x);
  double value = losses(setup, f);
  for (std::size_t i = 0; i < dy.values.size(); ++i) {
    value += dy.values[i] * f.y.values[i];
  }
  return value;
}

/// Moves every number of `values` both ways and compares the slope with `gradient`.
void check_slopes(Vector& values, const Vector& gradient, const auto& value, const char* name) {
  REQUIRE(values.size() == gradient.size());
  double scale = 1e-3;
  for (double g : gradient) {
    scale = std::max(scale, std::abs(g));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double kept = values[i];
    const double step = 1e-5;
    values[i] = kept + step;
    const double above = value();
    values[i] = kept - step;
    const double below = value();
    values[i] = kept;
    const double slope = (above - below) / (2.0 * step);
    INFO(name << " number " << i << ": difference quotient " << slope << ", gradient "
              << gradient[i]);
    CHECK(tests::within(slope, gradient[i], 1e-8 * scale));
  }
}

void check_all(const tests::Case& c) {
  Matrix x = c.x;
  const Forward f = forward(c.setup, x);
  Setup s = tests::frozen(c.setup, f);
  const Gradients g = backward(s, x, forward(s, x), c.dy);
  const auto value = [&] { return objective(s, x, c.dy); };
  check_slopes(x.values, g.dx.values, value, "x");
  check_slopes(s.router.weight.values, g.gate.values, value, "gate");
  if (!s.router.bias.empty()) {
    check_slopes(s.router.bias, g.gate_bias, value, "gate bias");
  }
  check_slopes(s.experts.up.values, g.experts.up.values, value, "up");
  check_slopes(s.experts.down.values, g.experts.down.values, value, "down");
  if (s.experts.biases) {
    check_slopes(s.experts.up_bias.values, g.experts.up_bias.values, value, "up bias");
    check_slopes(s.experts.down_bias.values, g.experts.down_bias.values, value, "down bias");
  }
}

TEST_CASE("oracle: gradients are slopes", "[golden][oracle]") {
  std::uint64_t seed = 1;
  for (Activation activation : {Activation::relu, Activation::squared_relu, Activation::gelu_tanh,
                                Activation::gelu_erf, Activation::silu, Activation::identity}) {
    for (bool gated : {false, true}) {
      tests::CaseOptions o;
      o.shape = {5, 3, 4, 3};
      o.activation = activation;
      o.gated = gated;
      o.biases = seed % 3 != 0;
      o.gate_bias = true;
      o.router.threshold = 0.8;
      o.capacity = {true, 1.0, 1, Priority::rank_then_probability, {}};
      INFO("seed " << seed);
      check_all(tests::random_case(seed, o));
      ++seed;
    }
  }
}

TEST_CASE("oracle: router gradients are slopes", "[golden][oracle]") {
  std::uint64_t seed = 100;
  for (Score score : {Score::softmax, Score::sigmoid, Score::identity}) {
    for (Weigh weigh : {Weigh::raw, Weigh::normalized, Weigh::softmax_of_chosen}) {
      for (Select select : {Select::threshold, Select::top_k, Select::all}) {
        if (score == Score::identity && weigh == Weigh::normalized) {
          continue;  // divides by a sum of either sign
        }
        tests::CaseOptions o;
        o.shape = {5, 4, 3, 2};
        o.activation = Activation::silu;
        o.router.score = score;
        o.router.weigh = weigh;
        o.router.select = select;
        o.router.k = 2;
        o.router.scale = 1.75;
        o.router.placeholder = seed % 2 == 0;
        tests::Case c = tests::random_case(seed, o);
        c.setup.balance = {{Counted::first_choice, Distribution::scores, 0.7},
                           {Counted::all_per_token, Distribution::softmax_of_logits, 0.3},
                           {Counted::all_claims, Distribution::scores, 0.2}};
        c.setup.z_loss = {{0.5}};
        c.setup.valid = {true, true, false, true, true};
        INFO("seed " << seed);
        check_all(c);
        ++seed;
      }
    }
  }
}

TEST_CASE("oracle: the order of odd numbers", "[golden][oracle]") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Router r;
  r.select = Select::all;
  using Order = std::vector<index>;
  CHECK(choose(r, {nan, -inf, -1e30, 0.0, -0.0, inf}) == Order{5, 3, 4, 2, 0});
  CHECK(choose(r, {nan, nan, nan}) == Order{0, 1, 2});
  CHECK(choose(r, {-inf, nan, -inf}) == Order{1});
  CHECK(choose(r, {0.0, 0.5, 0.5}, {-inf, 0.0, 0.0}) == Order{1, 2});  // masked by its logit
  CHECK(choose(r, {2.0, 3.0, 3.0, 2.0}) == Order{1, 2, 0, 3});
  r.select = Select::top_k;
  r.k = 2;
  CHECK(choose(r, {-0.0, 0.0, 0.0}) == Order{0, 1});
  r.selection_bias = {0.0, 1.0, 2.0};
  CHECK(choose(r, {0.5, 0.5, 0.5}) == Order{2, 1});
}

TEST_CASE("oracle: random priority follows the keys", "[golden][oracle]") {
  Setup s;
  s.experts.down = Stack(1, 1, 1);
  s.capacity = {true, 0.5, 1, Priority::random, Matrix(4, 1)};
  s.capacity.keys.values = {0.7, 0.2, 0.9, 0.1};
  std::vector<std::vector<Claim>> chosen(4);
  for (index t = 0; t < 4; ++t) {
    chosen[static_cast<std::size_t>(t)].push_back({t, 0, 0, 0, 0.5, 0.5, false});
  }
  CHECK(keep(s, 4, chosen) == 2);
  CHECK(!chosen[0][0].kept);
  CHECK(chosen[1][0].kept);
  CHECK(!chosen[2][0].kept);
  CHECK(chosen[3][0].kept);
}

}  // namespace
