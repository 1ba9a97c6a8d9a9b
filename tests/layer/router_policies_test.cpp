// SPDX-License-Identifier: Apache-2.0
// Every score, selector and way to weigh in a whole layer against the oracle, in double.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Score;
using reference::Select;
using reference::Weigh;
using tests::index;

template <class S, class Sel, class W>
using Layer = MoeLayer<Router<gate::Linear, S, Sel, W>, expert::Ffn<activation::Gelu>,
                       dispatch::Dropless, Cpu<double>>;

tests::CaseOptions options(Score score, Select select, Weigh weigh, double scale) {
  tests::CaseOptions o;
  o.shape = {21, 6, 9, 5};
  o.activation = reference::Activation::gelu_tanh;
  o.gate_bias = true;
  o.router.score = score;
  o.router.select = select;
  o.router.weigh = weigh;
  o.router.k = 3;
  o.router.threshold = 0.75;
  o.router.scale = scale;
  return o;
}

TEST_CASE("softmax, top-k, normalized", "[layer][oracle]") {
  const auto o = options(Score::softmax, Select::top_k, Weigh::normalized, 1.5);
  tests::check_layer<Layer<score::Softmax, select::TopK, weigh::Normalized>>(
      tests::random_case(1, o));
}

TEST_CASE("sigmoid, top-k behind a bias, normalized and scaled", "[layer][oracle]") {
  const auto o = options(Score::sigmoid, Select::top_k, Weigh::normalized, 2.5);
  tests::Case c = tests::random_case(2, o);
  c.setup.router.selection_bias = {0.5, -0.25, 0.125, 0.0, -0.5, 0.25};
  tests::check_layer<Layer<score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>>(c);
}

TEST_CASE("identity, top-k, softmax of the picked", "[layer][oracle]") {
  const auto o = options(Score::identity, Select::top_k, Weigh::softmax_of_chosen, 1.0);
  tests::check_layer<Layer<score::Identity, select::TopK, weigh::SoftmaxPicked>>(
      tests::random_case(3, o));
}

TEST_CASE("softmax, all, raw", "[layer][oracle]") {
  const auto o = options(Score::softmax, Select::all, Weigh::raw, 1.0);
  tests::check_layer<Layer<score::Softmax, select::All, weigh::Raw>>(tests::random_case(4, o));
}

TEST_CASE("one expert a token with renormalized weights: usable, but refused for training",
          "[layer][error]") {
  auto o = options(Score::softmax, Select::top_k, Weigh::normalized, 1.0);
  o.router.k = 1;
  using Constant = Layer<score::Softmax, select::TopK, weigh::Normalized>;
  const tests::Case c = tests::random_case(5, o);
  const Constant layer = tests::make_layer<Constant>(c.setup);
  const tests::Numbers<double> x(c.x);
  tests::Numbers<double> y(21, 9);
  layer.forward(x.view(), y.view());
  tests::check_close<double>("y", tests::numbers(y.view()),
                             reference::forward(c.setup, c.x).y.values, 9 + 5);
  std::string text;
  try {
    layer.record(x.view(), y.view());
  } catch (const value_error& e) {
    text = e.what();
  }
  INFO(text);
  CHECK(text.find("never learns") != std::string::npos);
  // the reason: the oracle's gate gradient is nothing but rounding
  const auto f = reference::forward(c.setup, c.x);
  CHECK(tests::magnitude(reference::backward(c.setup, c.x, f, c.dy).gate.values) < 1e-12);
}

}  // namespace
