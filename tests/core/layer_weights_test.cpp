// SPDX-License-Identifier: Apache-2.0
#include <xmoe/xmoe.hpp>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using Weights = LayerWeights<Router<gate::Linear, score::Softmax, select::Biased<select::TopK>>,
                             expert::Ffn<activation::Relu>, Cpu<float>>;

TEST_CASE("a layer's tensors have one order and names by slot", "[core][layer_weights]") {
  Weights weights;
  CHECK(weights.parameters().empty());  // tensors that do not exist are not listed
  weights.router.gate.weight = Panels<float>(1, 3, 2);
  weights.router.select.bias = Panels<float>(1, 3, 1);
  weights.expert.up = Panels<float>(3, 4, 2);
  const Parameters list = weights.parameters();
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "router.gate.weight");
  CHECK(list[1].name == "router.select.bias");
  CHECK(list[1].role == Role::remembered);
  CHECK(list[2].name == "expert.up.weight");
  CHECK(count(list) == 6 + 3 + 24);
  CHECK(&list[2].as<float>() == &weights.expert.up);  // references, not copies
}

}  // namespace
}  // namespace xmoe
