// SPDX-License-Identifier: Apache-2.0
// Capacity in a whole layer: who is counted, who is dropped, and what a drop does.
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

template <class D>
using Layer =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, expert::Ffn<activation::Gelu>, D>;
using Limited = Layer<dispatch::Capacity>;
using Drawn = Layer<dispatch::CapacityBy<priority::Random>>;

tests::Case make_case(double factor, index k = 3) {
  tests::CaseOptions o;
  o.shape = {40, 6, 9, 7};
  o.activation = reference::Activation::gelu_tanh;
  o.router.select = reference::Select::top_k;
  o.router.k = k;
  o.capacity = {true, factor, 1, reference::Priority::rank_then_probability, {}};
  return tests::random_case(17, o);
}

TEST_CASE("kept and dropped add up, no expert is over its limit", "[layer][capacity]") {
  for (double factor : {0.01, 0.5, 1.0, 2.0, 3.0, 6.0, 100.0}) {
    INFO("factor " << factor);
    const tests::Case c = make_case(factor);
    const Limited layer = tests::make_layer<Limited>(c.setup);
    const Numbers<float> x(c.x);
    Numbers<float> y(40, 9);
    Limited::Tape tape;
    const Summary s = layer.record(x.view(), y.view(), tape);
    CHECK(s.tokens == 40);
    CHECK(s.wanted == 120);
    CHECK(s.kept + s.dropped == 120);
    CHECK(s.capacity == reference::capacity_of(40, 6, factor, 1));
    const Statistics st = layer.statistics(tape);
    index sum = 0;
    for (index load : st.load) {
      CHECK(load <= s.capacity);
      sum += load;
    }
    CHECK(sum == s.kept);
    if (s.capacity == 40) {
      CHECK(s.dropped == 0);
    }
  }
}

TEST_CASE("a limit that does not bind equals no limit bitwise", "[layer][capacity]") {
  const tests::Case c = make_case(6.0);
  const Limited limited = tests::make_layer<Limited>(c.setup);
  const auto dropless = tests::make_layer<Layer<dispatch::Dropless>>(c.setup);
  const Numbers<float> x(c.x);
  Numbers<float> a(40, 9);
  Numbers<float> b(40, 9);
  limited.forward(x.view(), a.view());
  dropless.forward(x.view(), b.view());
  CHECK(a == b);
}

TEST_CASE("the pipeline cut in two drops the same claims", "[layer][capacity]") {
  const tests::Case c = make_case(0.75);
  const Limited layer = tests::make_layer<Limited>(c.setup);
  const Numbers<float> x(c.x);
  Numbers<float> a(40, 9);
  Numbers<float> b(40, 9);
  const Summary whole = layer.forward(x.view(), a.view());
  CHECK(whole.dropped > 0);
  const Summary halves = layer.apply(x.view(), layer.route(x.view()), b.view());
  CHECK(a == b);
  CHECK(whole.kept == halves.kept);
  const Limited::Tape tape = layer.record(x.view(), b.view());  // replay of a recorded decision
  b.fill(0.f);
  layer.apply(x.view(), Routing<float>::copy(tape.decision().routing), b.view());
  CHECK(a == b);
}

TEST_CASE("absolute limits: none, one, all", "[layer][capacity]") {
  const tests::Case c = make_case(1.0);
  Limited layer = tests::make_layer<Limited>(c.setup);
  layer.config().dispatch.limit = dispatch::Limit::absolute;
  const Numbers<float> x(c.x);
  const Numbers<float> dy(c.dy);
  Numbers<float> y(40, 9);
  Numbers<float> dx(40, 9);
  Limited::Tape tape;
  layer.config().dispatch.absolute = 1;
  CHECK(layer.record(x.view(), y.view(), tape).kept == 6);
  layer.config().dispatch.absolute = 1000;
  CHECK(layer.record(x.view(), y.view(), tape).dropped == 0);
  layer.config().dispatch.absolute = 0;
  y.fill(3.f);
  const Summary s = layer.record(x.view(), y.view(), tape);
  CHECK(s.kept == 0);
  CHECK(y == Numbers<float>(40, 9));  // zeros, written
  Limited::Gradients g = layer.make_gradients();
  dx.fill(3.f);
  layer.backward(tape, dy.view(), dx.view(), g);
  CHECK(dx == Numbers<float>(40, 9));
  for (const tests::Tensor& t : tests::tensors_of<float>(g.parameters())) {
    CHECK(tests::magnitude(t.values) == 0.0);
  }
  for (index e = 0; e < 6; ++e) {
    CHECK(!g.touched(e));
  }
}

TEST_CASE("a token that lost all experts gives zero and takes no gradient", "[layer][capacity]") {
  const tests::Case c = make_case(0.25);
  const Limited layer = tests::make_layer<Limited>(c.setup);
  const Numbers<float> x(c.x);
  const Numbers<float> dy(c.dy);
  Numbers<float> y(40, 9);
  Numbers<float> dx(40, 9);
  Limited::Tape tape;
  layer.record(x.view(), y.view(), tape);
  Limited::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  const reference::Forward f = reference::route(c.setup, c.x);
  index empty = 0;
  for (index t = 0; t < 40; ++t) {
    bool any = false;
    for (const auto& claim : f.chosen[static_cast<std::size_t>(t)]) {
      any = any || claim.kept;
    }
    if (!any) {
      ++empty;
      for (index d = 0; d < 9; ++d) {
        CHECK(y.view()(t, d) == 0.f);
        CHECK(dx.view()(t, d) == 0.f);
      }
    }
  }
  CHECK(empty > 10);
}

TEST_CASE("capacity while training and outside of it", "[layer][capacity]") {
  const tests::Case c = make_case(0.5);
  Limited layer = tests::make_layer<Limited>(c.setup);
  layer.config().dispatch.eval_factor = 6.0;
  const Numbers<float> x(c.x);
  Numbers<float> y(40, 9);
  CHECK(layer.forward(x.view(), y.view()).dropped == 0);
  Limited::Tape tape;
  CHECK(layer.record(x.view(), y.view(), tape).capacity == 4);
}

TEST_CASE("random priority: a function of the stream, unbiased", "[layer][capacity]") {
  tests::Case c = make_case(1.0, 1);
  std::fill(c.setup.router.weight.values.begin(), c.setup.router.weight.values.end(), 0.0);
  // all equal: everybody wants expert 0
  const Drawn layer = tests::make_layer<Drawn>(c.setup, cpu::Backend(1));
  const Numbers<float> x(c.x);
  Numbers<float> y(40, 9);
  Drawn::Tape tape;
  const auto kept = [&](std::uint64_t step) {
    CHECK(layer.record(x.view(), y.view(), tape, Random{7, step}).kept == 7);
    std::vector<index> tokens;
    for (index m = 0; m < 7; ++m) {
      tokens.push_back(tape.plan().token[m]);
    }
    return tokens;
  };
  CHECK(kept(1) == kept(1));
  CHECK(kept(1) != kept(2));
  std::vector<double> share(40, 0.0);
  const int draws = 2000;
  for (int step = 0; step < draws; ++step) {
    for (index t : kept(static_cast<std::uint64_t>(step))) {
      share[static_cast<std::size_t>(t)] += 1.0;
    }
  }
  const double p = 7.0 / 40.0;
  const double deviation = std::sqrt(draws * p * (1.0 - p));
  for (double n : share) {
    CHECK(std::abs(n - draws * p) < 5.0 * deviation);
  }
}

}  // namespace
