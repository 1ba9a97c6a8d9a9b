// SPDX-License-Identifier: Apache-2.0
#include <xmoe/xmoe.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Relu>, dispatch::Dropless>;

TEST_CASE("gradients start at zero in the shapes of the weights", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  Layer::Gradients gradients = layer.make_gradients();
  const Parameters mine = gradients.parameters();
  const Parameters theirs = layer.parameters();
  REQUIRE(mine.size() == theirs.size());
  for (std::size_t i = 0; i < mine.size(); ++i) {
    CHECK(mine[i].name == theirs[i].name);
    CHECK(mine[i].size() == theirs[i].size());
    for (const float g : mine[i].as<float>().values()) {
      CHECK(g == 0.f);
    }
  }
  for (index e = 0; e < 3; ++e) {
    CHECK(!gradients.touched(e));
  }
}

TEST_CASE("zero takes back what backward added, touched marks included", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  layer.initialize({.seed = 2});
  float x[] = {1.f, -2.f}, y[2], dy[] = {1.f, 1.f}, dx[2];
  Layer::Tape tape;
  Layer::Gradients gradients = layer.make_gradients();
  layer.record(MatrixView<float>(x, 1, 2), {y, 1, 2}, tape);
  layer.backward(tape, MatrixView<const float>(dy, 1, 2), {dx, 1, 2}, gradients);
  const auto touched = [&] {
    return gradients.touched(0) + gradients.touched(1) + gradients.touched(2);
  };
  const auto total = [&] {
    double sum = 0;
    for (const Parameter& p : gradients.parameters()) {
      for (const float g : p.as<float>().values()) {
        sum += static_cast<double>(g * g);
      }
    }
    return sum;
  };
  CHECK(touched() == 2);  // k = 2 of 3
  CHECK(total() > 0);
  gradients.zero();
  CHECK(touched() == 0);
  CHECK(total() == 0);
}

TEMPLATE_TEST_CASE("restart gives the bits of zero, old numbers or NaN notwithstanding",
                   "[training][gradients]", Cpu<float>, Cpu<double>, (Cpu<float, bfloat16>)) {
  using S = typename TestType::scalar;
  using Small = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                         expert::Glu<activation::Silu>, dispatch::Dropless, TestType>;
  Small layer({5, 6, 7}, {.expert = {.bias = true}}, cpu::Backend(2));
  layer.initialize({.seed = 2});
  std::vector<S> x(40 * 5), dy(x.size()), y(x.size()), dx(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = S(i % 7) / S(4) - S(i % 11) / S(8);
    dy[i] = S(i % 5) - S(2);
  }
  const auto call = [&](index tokens, typename Small::Gradients& gradients) {
    typename Small::Tape tape;
    layer.record(In<S>(x.data(), tokens, 5), Out<S>(y.data(), tokens, 5), tape);
    layer.backward(tape, In<S>(dy.data(), tokens, 5), Out<S>(dx.data(), tokens, 5), gradients);
  };
  const auto numbers = [](typename Small::Gradients& gradients) {
    std::vector<S> all;
    for (const Parameter& p : gradients.parameters()) {
      const auto values = p.as<S>().values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const auto same = [](const std::vector<S>& a, const std::vector<S>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0;
  };
  for (const index tokens : {0, 1, 2, 40}) {  // one token leaves four of six experts idle
    typename Small::Gradients zeroed = layer.make_gradients();
    call(40, zeroed);
    const std::vector<S> old = numbers(zeroed);
    zeroed.zero();
    call(tokens, zeroed);
    typename Small::Gradients restarted = layer.make_gradients();
    call(40, restarted);
    for (const Parameter& p : restarted.parameters()) {
      for (S& g : p.as<S>().values()) {
        g = std::numeric_limits<S>::quiet_NaN();
      }
    }
    restarted.restart();
    call(tokens, restarted);
    INFO(tokens << " tokens");
    CHECK(same(numbers(restarted), numbers(zeroed)));
    CHECK((tokens == 40 || !same(numbers(restarted), old)));
    for (index e = 0; e < 6; ++e) {
      CHECK(restarted.touched(e) == zeroed.touched(e));
    }
    call(40, zeroed);  // and from there on they add
    call(40, restarted);
    CHECK(same(numbers(restarted), numbers(zeroed)));
    CHECK((tokens == 0 || !same(numbers(restarted), old)));
  }
}

TEST_CASE("what was written into zeros by hand is added to, not lost", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  layer.initialize({.seed = 2});
  float x[] = {1.f, -2.f}, y[2], dy[] = {1.f, 1.f}, dx[2];
  const auto sum_after = [&](float by_hand, bool restart) {
    Layer::Gradients gradients = layer.make_gradients();
    gradients.zero();
    if (restart) {
      gradients.restart();
    }
    for (const Parameter& p : gradients.parameters()) {
      if (p.name == "expert.down.bias") {
        for (index e = 0; e < 3; ++e) {
          p.as<float>().at(e, 1) = by_hand;
        }
      }
    }
    Layer::Tape tape;
    layer.record(MatrixView<float>(x, 1, 2), {y, 1, 2}, tape);
    layer.backward(tape, MatrixView<const float>(dy, 1, 2), {dx, 1, 2}, gradients);
    float sum = 0.f;
    for (const Parameter& p : gradients.parameters()) {
      for (index e = 0; p.name == "expert.down.bias" && e < 3; ++e) {
        sum += p.as<float>().at(e, 1);
      }
    }
    return sum;
  };
  CHECK(std::abs(sum_after(16.f, false) - sum_after(0.f, false) - 48.f) < 1e-4f);
  CHECK(sum_after(16.f, true) == sum_after(0.f, true));  // twin: restart overwrites
}

TEST_CASE("gradients of another layer are refused with both counts", "[training][gradients]") {
  Layer layer({2, 3, 4}, {}, cpu::Backend(1));
  Layer other({2, 3, 5}, {}, cpu::Backend(1));
  float x[] = {1.f, -2.f}, y[2], dy[] = {1.f, 1.f}, dx[2];
  Layer::Tape tape;
  Layer::Gradients gradients = other.make_gradients();
  layer.record(MatrixView<float>(x, 1, 2), {y, 1, 2}, tape);
  std::string text;
  try {
    layer.backward(tape, MatrixView<const float>(dy, 1, 2), {dx, 1, 2}, gradients);
  } catch (const shape_error& problem) {
    text = problem.what();
  }
  CHECK(text.find("xmoe::MoeLayer::backward: gradients hold") == 0);
}

}  // namespace
}  // namespace xmoe
