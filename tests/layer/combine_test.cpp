// SPDX-License-Identifier: Apache-2.0
// Properties of the sum over experts: linear in the scale, a mean when weights are uniform, one
// dense network when experts are equal, blind to experts that nobody chose.
#include <limits>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless>;

tests::Case make_case(index k) {
  tests::CaseOptions o;
  o.shape = {29, 5, 14, 10};
  o.activation = reference::Activation::gelu_tanh;
  o.router.select = reference::Select::top_k;
  o.router.weigh = reference::Weigh::normalized;
  o.router.k = k;
  return tests::random_case(21, o);
}
Numbers<float> run(const Layer& layer, const reference::Matrix& x) {
  const Numbers<float> in(x);
  Numbers<float> y(x.rows, x.cols);
  layer.forward(in.view(), y.view());
  return y;
}

TEST_CASE("the output is linear in the routed scale", "[layer][combine]") {
  const tests::Case c = make_case(3);
  Layer layer = tests::make_layer<Layer>(c.setup);
  const reference::Vector once = tests::numbers(run(layer, c.x).view());
  for (float scale : {2.f, 0.25f, -4.f, 0.f}) {  // powers of two: exact
    layer.config().router.weigh.scale = scale;
    reference::Vector want = once;
    for (double& v : want) {
      v *= static_cast<double>(scale);
    }
    CHECK(tests::numbers(run(layer, c.x).view()) == want);
  }
}

TEST_CASE("uniform weights over all experts: the mean of the dense networks", "[layer][combine]") {
  tests::Case c = make_case(5);
  std::fill(c.setup.router.weight.values.begin(), c.setup.router.weight.values.end(), 0.0);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  reference::Matrix mean(29, 14);
  for (index t = 0; t < 29; ++t) {
    for (index e = 0; e < 5; ++e) {
      const auto pass = reference::run_expert(c.setup.experts, e, reference::row_of(c.x, t));
      for (index d = 0; d < 14; ++d) {
        mean(t, d) += reference::at(pass.out, d) / 5.0;
      }
    }
  }
  tests::check_close<float>("y", tests::numbers(run(layer, c.x).view()), mean.values, 14 + 10 + 5);
}

TEST_CASE("equal experts: one dense network, whatever the routing", "[layer][combine]") {
  tests::Case c = make_case(3);
  for (reference::Stack* stack : {&c.setup.experts.up, &c.setup.experts.up_bias,
                                  &c.setup.experts.down, &c.setup.experts.down_bias}) {
    for (index e = 1; e < 5; ++e) {
      for (index i = 0; i < stack->rows; ++i) {
        for (index j = 0; j < stack->cols; ++j) {
          (*stack)(e, i, j) = (*stack)(0, i, j);
        }
      }
    }
  }
  const Layer layer = tests::make_layer<Layer>(c.setup);
  reference::Matrix dense(29, 14);
  for (index t = 0; t < 29; ++t) {
    reference::set_row(dense, t,
                       reference::run_expert(c.setup.experts, 0, reference::row_of(c.x, t)).out);
  }
  tests::check_close<float>("y", tests::numbers(run(layer, c.x).view()), dense.values, 14 + 10 + 5);
}

/// A router that only ever takes experts 0 and 1 of five.
tests::Case two_of_five() {
  tests::Case c = make_case(2);
  for (index d = 0; d < 14; ++d) {
    for (index e = 2; e < 5; ++e) {
      c.setup.router.weight(e, d) = 0.0;
    }
  }
  c.setup.router.bias = {0.0, 0.0, -50.0, -50.0, -50.0};
  return c;
}

TEST_CASE("weights of experts that nobody chose do not matter, NaN included", "[layer][combine]") {
  const tests::Case c = two_of_five();
  tests::Case poisoned = c;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (reference::Stack* stack :
       {&poisoned.setup.experts.up, &poisoned.setup.experts.up_bias, &poisoned.setup.experts.down,
        &poisoned.setup.experts.down_bias}) {
    for (index e = 2; e < 5; ++e) {
      for (index i = 0; i < stack->rows; ++i) {
        for (index j = 0; j < stack->cols; ++j) {
          (*stack)(e, i, j) = nan;
        }
      }
    }
  }
  Layer clean = tests::make_layer<Layer>(c.setup);
  Layer dirty = tests::make_layer<Layer>(poisoned.setup);
  const auto a = tests::layer_results(clean, c);
  const auto b = tests::layer_results(dirty, poisoned);
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO(a[i].name);
    CHECK(a[i].values == b[i].values);
  }
}

TEST_CASE("experts that nobody chose: gradient exactly zero, unmarked", "[layer][combine]") {
  const tests::Case c = two_of_five();
  Layer layer = tests::make_layer<Layer>(c.setup);
  const Numbers<float> x(c.x);
  const Numbers<float> dy(c.dy);
  Numbers<float> y(29, 14);
  Numbers<float> dx(29, 14);
  Layer::Tape tape = layer.record(x.view(), y.view());
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  for (index e = 0; e < 5; ++e) {
    INFO("expert " << e);
    CHECK(g.touched(e) == (e < 2));
    for (const Parameter& p : g.parameters()) {
      if (p.name.rfind("expert.", 0) == 0) {
        const Panels<float>& t = p.as<float>();
        double largest = 0.0;
        for (index i = 0; i < t.rows(); ++i) {
          for (index j = 0; j < t.cols(); ++j) {
            largest = std::max(largest, static_cast<double>(std::abs(t.at(e, i, j))));
          }
        }
        INFO(p.name);
        CHECK((largest > 0.0) == (e < 2));
      }
    }
  }
  g.zero();
  for (index e = 0; e < 5; ++e) {
    CHECK(!g.touched(e));
  }
}

}  // namespace
