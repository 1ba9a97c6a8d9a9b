// SPDX-License-Identifier: Apache-2.0
// Every activation, with and without biases, in a whole layer against the oracle, in double.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Activation;
using tests::index;

template <class Act>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, expert::Ffn<Act>,
                       dispatch::Dropless, Cpu<double>>;

template <class Act>
void check_activation(Activation kind) {
  for (bool biases : {true, false}) {
    tests::CaseOptions o;
    o.shape = {19, 4, 20, 35};
    o.router.select = reference::Select::top_k;
    o.router.k = 2;
    o.activation = kind;
    o.biases = biases;
    INFO("biases " << biases);
    tests::check_layer<Layer<Act>>(tests::random_case(biases ? 1 : 2, o));
  }
}

TEST_CASE("experts with ReLU", "[layer][oracle]") {
  check_activation<activation::Relu>(Activation::relu);
}
TEST_CASE("experts with squared ReLU", "[layer][oracle]") {
  check_activation<activation::SquaredRelu>(Activation::squared_relu);
}
TEST_CASE("experts with GELU by erf", "[layer][oracle]") {
  check_activation<activation::GeluErf>(Activation::gelu_erf);
}
TEST_CASE("experts with SiLU", "[layer][oracle]") {
  check_activation<activation::Silu>(Activation::silu);
}
TEST_CASE("linear experts", "[layer][oracle]") {
  check_activation<activation::Identity>(Activation::identity);
}

}  // namespace
