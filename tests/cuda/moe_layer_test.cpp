// SPDX-License-Identifier: Apache-2.0
// Layers on the device against the float64 oracle, forward and backward.
#include "layer_case.hpp"

namespace tests {
namespace {

using namespace xmoe;
using reference::Score;
using reference::Select;
using reference::Weigh;

using ThresholdRouter = Router<gate::Linear, score::Softmax, select::Threshold>;

CaseOptions options(Shape shape, Select select = Select::threshold) {
  CaseOptions o;
  o.shape = shape;
  o.activation = reference::Activation::gelu_tanh;
  o.gate_bias = true;
  o.router.select = select;
  o.router.k = 2;
  o.router.threshold = 0.7;
  return o;
}

TEMPLATE_TEST_CASE("device layer: XMoE's experts and threshold agree with the oracle",
                   "[cuda][layer][oracle]", float, double) {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::Dropless, Cuda<TestType>>;
  const auto tokens = GENERATE(as<index>(), 1, 31, 32, 33);
  CAPTURE(tokens);
  check_device_layer<L>(random_case(7, options({tokens, 6, 20, 13})));
}

TEMPLATE_TEST_CASE("device layer: sizes off the tiles", "[cuda][layer][oracle]", float, double) {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::Dropless, Cuda<TestType>>;
  const auto shape = GENERATE(Shape{5, 1, 1, 1}, Shape{70, 3, 65, 129}, Shape{9, 33, 7, 5},
                              Shape{40, 2, 136, 200});
  CAPTURE(shape.tokens, shape.experts, shape.dim, shape.hidden);
  check_device_layer<L>(random_case(8, options(shape)), shape.experts > 1);
}

TEMPLATE_TEST_CASE("device layer: gated experts, top-k with renormalised weights",
                   "[cuda][layer][oracle]", float, double) {
  using L = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
                     expert::Glu<activation::Silu>, dispatch::Dropless, Cuda<TestType>>;
  auto o = options({33, 5, 18, 11}, Select::top_k);
  o.router.weigh = Weigh::normalized;
  o.activation = reference::Activation::silu;
  o.gated = true;
  o.biases = GENERATE(true, false);
  check_device_layer<L>(random_case(9, o));
}

TEST_CASE("device layer: sigmoid, top-k behind a bias, normalised and scaled",
          "[cuda][layer][oracle]") {
  using L = MoeLayer<
      Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
      expert::Ffn<>, dispatch::Dropless, Cuda<double>>;
  auto o = options({21, 6, 9, 5}, Select::top_k);
  o.router.score = Score::sigmoid;
  o.router.weigh = Weigh::normalized;
  o.router.scale = 2.5;
  Case c = random_case(2, o);
  c.setup.router.selection_bias = {0.5, -0.25, 0.125, 0.0, -0.5, 0.25};
  check_device_layer<L>(c);
}

TEST_CASE("device layer: identity, top-k, softmax of the picked", "[cuda][layer][oracle]") {
  using L = MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
                     expert::Ffn<activation::Relu>, dispatch::Dropless, Cuda<double>>;
  auto o = options({21, 6, 9, 5}, Select::top_k);
  o.router.score = Score::identity;
  o.router.weigh = Weigh::softmax_of_chosen;
  o.activation = reference::Activation::relu;
  check_device_layer<L>(random_case(3, o));
}

TEST_CASE("device layer: every expert for every token", "[cuda][layer][oracle]") {
  using L = MoeLayer<Router<gate::Linear, score::Softmax, select::All>, expert::Ffn<>,
                     dispatch::Dropless, Cuda<double>>;
  check_device_layer<L>(random_case(4, options({17, 6, 9, 5}, Select::all)));
}

TEMPLATE_TEST_CASE("device layer: capacity drops as the oracle does", "[cuda][layer][oracle]",
                   float, double) {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::Capacity, Cuda<TestType>>;
  auto o = options({40, 5, 12, 9});
  o.capacity = {true, GENERATE(0.4, 1.0), 1, reference::Priority::rank_then_probability, {}};
  o.logit_spread = 2.0;
  check_device_layer<L>(random_case(11, o));
}

TEST_CASE("device layer: a placeholder in front of the experts", "[cuda][layer][oracle]") {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::WithPlaceholder<dispatch::Capacity>,
                     Cuda<double>>;
  auto o = options({40, 5, 12, 9});
  o.router.placeholder = true;
  o.capacity = {true, 1.0, 1, reference::Priority::rank_then_probability, {}};
  check_device_layer<L>(random_case(12, o));
}

TEST_CASE("device layer: tokens that are padding", "[cuda][layer][oracle]") {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::Capacity, Cuda<double>>;
  auto o = options({40, 5, 12, 9});
  o.capacity = {true, 0.8, 1, reference::Priority::rank_then_probability, {}};
  Case c = random_case(13, o);
  for (index t = 0; t < 40; ++t) {
    c.setup.valid.push_back(t % 3 != 1);
  }
  const ThroughCopies<L> layer(c.setup);
  check_against_reference<double>(layer.results(c), c.setup, c.x, &c.dy);
}

TEST_CASE("device layer: losses on the routing", "[cuda][layer][oracle]") {
  using L = MoeLayer<ThresholdRouter, expert::Ffn<>, dispatch::Dropless, Cuda<double>>;
  Case c = random_case(14, options({37, 6, 9, 5}));
  const ThroughCopies<L> layer(c.setup);
  const auto without = layer.results(c);
  c.setup.balance = {{reference::Counted::first_choice, reference::Distribution::scores, 0.5}};
  c.setup.z_loss = {{0.25}};
  const auto with =
      layer.results(c, loss::LoadBalance<loss::counting::FirstChoice, loss::over::Scores>{0.5f},
                    loss::ZLoss{0.25f});
  check_against_reference<double>(with, c.setup, c.x, &c.dy);
  CHECK(with[2].values != without[2].values);
}

}  // namespace
}  // namespace tests
