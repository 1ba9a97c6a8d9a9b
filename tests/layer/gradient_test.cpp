// SPDX-License-Identifier: Apache-2.0
// Backward against central differences of the layer's own forward, in double: tokens, every
// parameter, losses included. The largest relative error is below 1e-6.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;

using Threshold = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                           expert::Ffn<activation::Gelu>, dispatch::Capacity, Cpu<double>>;
using TopK =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Cpu<double>>;

/// <dy, y> + losses of a recorded call, and its gradients.
template <class Layer, class... Losses>
double largest_error(const tests::Case& c, std::string& worst, const Losses&... loss) {
  Layer layer = tests::make_layer<Layer>(c.setup, cpu::Backend(1));
  tests::Numbers<double> x(c.x);
  const tests::Numbers<double> dy(c.dy);
  tests::Numbers<double> y(c.x.rows, c.x.cols);
  tests::Numbers<double> dx(c.x.rows, c.x.cols);
  typename Layer::Tape tape;
  const auto objective = [&] {
    layer.record(x.view(), y.view(), tape);
    double value = 0.0;
    ((value += layer.add_loss(tape, loss)), ...);
    for (index t = 0; t < c.x.rows; ++t) {
      for (index d = 0; d < c.x.cols; ++d) {
        value += dy.view()(t, d) * y.view()(t, d);
      }
    }
    return value;
  };
  objective();
  typename Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  const GradientReport report =
      gradient_check(objective, layer.parameters(), g.parameters(), {.most = 0});
  double error = report.worst;
  worst = report.name;
  const double scale = tests::magnitude(tests::numbers(dx.view()));
  for (index t = 0; t < c.x.rows; ++t) {
    for (index d = 0; d < c.x.cols; ++d) {
      double& v = x.view()(t, d);
      const double kept = v;
      v = kept + 1e-5;
      const double above = objective();
      v = kept - 1e-5;
      const double below = objective();
      v = kept;
      const double e = std::abs((above - below) / 2e-5 - dx.view()(t, d)) / scale;
      if (!(e <= error)) {
        error = e;
        worst = "x";
      }
    }
  }
  return error;
}

TEST_CASE("gradients of a threshold layer with capacity", "[layer][gradient]") {
  for (std::uint64_t seed : {1u, 2u, 3u}) {
    tests::CaseOptions o;
    o.shape = {9, 5, 6, 7};
    o.activation = reference::Activation::gelu_tanh;
    o.gate_bias = true;
    o.router.threshold = 0.8;
    o.capacity = {true, 1.5, 1, reference::Priority::rank_then_probability, {}};
    std::string worst;
    const double error = largest_error<Threshold>(
        tests::random_case(seed, o), worst, loss::LoadBalance<>{.coefficient = 0.7f},
        loss::LoadBalance<loss::counting::AllPerClaim>{.coefficient = 0.3f},
        loss::ZLoss{.coefficient = 0.2f});
    INFO("seed " << seed << ": worst " << error << " at " << worst);
    CHECK(error < 1e-6);
  }
}

TEST_CASE("gradients of a biased sigmoid layer of gated experts", "[layer][gradient]") {
  for (std::uint64_t seed : {4u, 5u, 6u}) {
    tests::CaseOptions o;
    o.shape = {8, 6, 5, 4};
    o.activation = reference::Activation::silu;
    o.gated = true;
    o.router.score = reference::Score::sigmoid;
    o.router.select = reference::Select::top_k;
    o.router.k = 3;
    o.router.weigh = reference::Weigh::normalized;
    o.router.scale = 2.5;
    tests::Case c = tests::random_case(seed, o);
    c.setup.router.selection_bias = {0.5, -0.5, 0.25, 0.0, -0.25, 0.125};
    std::string worst;
    const double error = largest_error<TopK>(
        c, worst,
        loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>{.coefficient =
                                                                                        0.4f},
        loss::LoadBalance<loss::counting::AllPerClaim, loss::over::NormalizedScores>{.coefficient =
                                                                                         0.6f});
    INFO("seed " << seed << ": worst " << error << " at " << worst);
    CHECK(error < 1e-6);
  }
}

}  // namespace
