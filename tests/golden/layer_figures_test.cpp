// SPDX-License-Identifier: Apache-2.0
// The library against the published figures of XMoE for the whole layer, in float and double:
// outputs, loss, gradients; combine and its gradient; work.
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::half_unit;
using tests::index;
using tests::Numbers;

template <class Act, class S>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>, expert::Ffn<Act>,
                       dispatch::Capacity, Cpu<S>>;

template <class S>
void check_figures(const char* name, const reference::Vector& got, const reference::Vector& want,
                   int digits) {
  REQUIRE(got.size() == want.size());
  const double allowed = half_unit(digits) + tests::tolerance<S>(16, tests::magnitude(want));
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO(name << " " << i << ": " << got[i] << ", wanted " << want[i]);
    CHECK(tests::within(got[i], want[i], allowed));
  }
}
/// Sum of each expert's numbers.
reference::Vector sums(const tests::Tensor& tensor) {
  reference::Vector result(4, 0.0);
  const std::size_t each = tensor.values.size() / 4;
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    result[i / each] += tensor.values[i];
  }
  return result;
}

template <class Act, class S>
void check_whole_layer(const golden::WholeLayer& figures) {
  const reference::Setup setup = golden::whole_layer(figures.factor, figures.activation);
  auto layer = tests::make_layer<Layer<Act, S>>(setup);
  const Numbers<S> x(golden::whole_layer_tokens());
  Numbers<S> y(4, 3), dx(4, 3);
  typename Layer<Act, S>::Tape tape;
  layer.record(x.view(), y.view(), tape);
  double loss = layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 0.01f});
  CHECK(tests::within(loss, 0.011041357698,
                      half_unit(12) + tests::tolerance<S>(16, 0.011) +
                          0.011 * 1e-7));  // the coefficient is a float
  for (double v : tests::numbers(y.view())) {
    loss += 0.5 * v * v;
  }
  auto g = layer.make_gradients();
  layer.backward(tape, y.view(), dx.view(), g);
  check_figures<S>("y", tests::numbers(y.view()), figures.y, 8);
  CHECK(tests::within(loss, figures.loss, half_unit(10) + tests::tolerance<S>(16, 0.085) + 1e-9));
  check_figures<S>("dx", tests::numbers(dx.view()), figures.dx, 8);
  const auto t = tests::tensors_of<S>(g.parameters());
  check_figures<S>("gate", t[0].values, figures.gate, 8);
  check_figures<S>("up", sums(t[1]), figures.up_sums, 8);
  check_figures<S>("up bias", sums(t[2]), figures.up_bias, 8);
  check_figures<S>("down", sums(t[3]), figures.down_sums, 8);
  check_figures<S>("down bias", sums(t[4]), figures.down_bias, 8);
}

TEST_CASE("whole layer with ReLU, forward and backward", "[golden]") {
  const auto figures = golden::whole_layer_figures();
  for (std::size_t i = 0; i < 2; ++i) {
    INFO("factor " << figures[i].factor);
    check_whole_layer<activation::Relu, float>(figures[i]);
    check_whole_layer<activation::Relu, double>(figures[i]);
  }
}

TEST_CASE("whole layer with GELU, forward and backward", "[golden]") {
  check_whole_layer<activation::Gelu, double>(golden::whole_layer_figures()[2]);
}

TEST_CASE("combine and its gradient", "[golden]") {
  using L = Layer<activation::Relu, double>;  // features made positive below: ReLU passes them
  const reference::Matrix features = golden::matrix(4, 2, {1, 0, 0, 1, 1, 1, 2, -1});
  const reference::Matrix p = golden::logarithms(golden::small_probabilities());
  // two hidden units a feature, u and -u, so that relu(u) - relu(-u) = u
  reference::Setup s = golden::given_logits(2, 4);
  s.router.threshold = 0.85;
  s.capacity.limited = true;
  s.experts.up = reference::Stack(4, 4, 6);
  s.experts.down = reference::Stack(4, 6, 4);
  for (index e = 0; e < 4; ++e) {
    for (index d = 0; d < 2; ++d) {
      s.experts.up(e, d, d) = 1.0;
      s.experts.up(e, d + 2, d) = -1.0;
      s.experts.down(e, d, d) = static_cast<double>(e + 1);
      s.experts.down(e, d, d + 2) = -static_cast<double>(e + 1);
    }
  }
  const Numbers<double> x(golden::join(features, p));
  Numbers<double> y(4, 6), dx(4, 6), dy(4, 6);
  dy.fill(1.0);
  for (double factor : {2.0, 4.0}) {
    s.capacity.factor = factor;
    auto layer = tests::make_layer<L>(s);
    L::Tape tape = layer.record(x.view(), y.view());
    auto g = layer.make_gradients();
    layer.backward(tape, dy.view(), dx.view(), g);
    const bool wide = factor > 2.0;
    const reference::Vector want_y = {
        wide ? 1.45 : 0.5, 0, 0, wide ? 1.94 : 1.84, 2.32, 2.32, 7.2, -3.6};
    reference::Vector want = {0.25,   -0.125,  -0.075, -0.05, -0.184, 0.0992, 0.232, -0.1472,
                              -0.792, -0.1792, 0.2992, 0.672, -0.072, -0.108, -0.18, 0.36};
    if (wide) {
      const reference::Vector rows = {-0.225, 0.1375, 0.2325, -0.145,
                                      -0.094, 0.0372, 0.212,  -0.1552};
      std::copy(rows.begin(), rows.end(), want.begin());
    }
    reference::Vector got_y, got;
    for (index t = 0; t < 4; ++t) {
      for (index d = 0; d < 6; ++d) {
        if (d < 2) {
          got_y.push_back(y.view()(t, d));
        } else {
          got.push_back(dx.view()(t, d));
        }
      }
    }
    check_figures<double>("y", got_y, want_y, 13);
    check_figures<double>("dz", got, want, 13);
    // token 3 has no zero feature: both components of its gradient through the experts are 3.6
    CHECK(tests::within(dx.view()(3, 0), 3.6, 1e-13));
    CHECK(tests::within(dx.view()(3, 1), 3.6, 1e-13));
  }
}

TEST_CASE("work of the larger case", "[golden]") {
  // the figures depend on the routing and on sizes only: a gate that reads the first 8 of 16 inputs
  reference::Setup s = golden::given_logits(0, 8);
  const reference::Setup narrow = s;
  s.router.weight = reference::Matrix(8, 16);
  for (index e = 0; e < 8; ++e) {
    s.router.weight(e, e) = 1.0;
  }
  s.router.threshold = 0.7;
  s.capacity.limited = true;
  s.experts.up = reference::Stack(8, 8, 16);
  s.experts.down = reference::Stack(8, 16, 8);
  const reference::Matrix z = golden::wave_logits(16, 8);
  const Numbers<float> x(golden::join(z, reference::Matrix(16, 8)));
  Numbers<float> y(16, 16);
  for (double factor : {2.0, 8.0}) {
    s.capacity.factor = factor;
    auto layer = tests::make_layer<Layer<activation::Relu, float>>(s);
    const auto tape = layer.record(x.view(), y.view());
    const Statistics m = layer.statistics(tape);
    const double reference_work = 4096.0;
    const bool wide = factor > 2.0;
    CHECK(m.summary.wanted == 40);
    CHECK(m.wanted_per_token == 2.5);
    CHECK(m.ratio(m.flops_wanted, reference_work) == 0.3125);
    CHECK(m.summary.kept == (wide ? 40 : 32));
    CHECK(m.ratio(m.flops_routed, reference_work) == (wide ? 0.3125 : 0.25));
    CHECK(m.ratio(m.flops_padded, reference_work) == (wide ? 1.0 : 0.25));
    CHECK(m.flops_router == 4096.0);
    if (wide) {
      CHECK(m.flops_routed == 20480.0);
      CHECK(m.flops_padded == 65536.0);
    }
  }
}

}  // namespace
