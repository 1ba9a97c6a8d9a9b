// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/parameters.hpp>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

struct Owning {
  template <class Traits>
  struct Weights {
    Panels<float> weight{2, 3, 4};
    Panels<float> bias;  // none
    Panels<float> moving{1, 5, 1};

    static void tensors(auto& self, auto&& visit) {
      visit("weight", self.weight);
      visit("bias", self.bias);
      visit("moving", self.moving, Role::remembered);
    }
  };
};
struct Plain {};

TEST_CASE("a bundle lists its tensors with prefix, role and shape", "[core][parameters]") {
  weights_of<Owning, void> weights;
  Parameters list;
  detail::append(list, "router.gate.", weights);
  REQUIRE(list.size() == 2);  // a tensor that does not exist is left out
  CHECK(list[0].name == "router.gate.weight");
  CHECK(list[0].role == Role::trained);
  CHECK(list[0].size() == 24);
  CHECK(list[1].name == "router.gate.moving");
  CHECK(list[1].role == Role::remembered);
  CHECK(count(list) == 29);
  CHECK(count(Parameters{}) == 0);
  list[0].as<float>().at(1, 2, 3) = 8.f;
  CHECK(weights.weight.at(1, 2, 3) == 8.f);
}

TEST_CASE("a tensor of another scalar is refused by name", "[core][parameters]") {
  Panels<float> tensor(1, 1, 1);
  const Parameter p{"expert.up.weight", Role::trained, &tensor};
  CHECK(&p.as<float>() == &tensor);
  CHECK_THROWS_AS(p.as<double>(), value_error);
  CHECK_THROWS_WITH(p.as<double>(),
                    "xmoe::Parameter::as: 'expert.up.weight' has another scalar type");
}

TEST_CASE("a policy without weights owns an empty bundle", "[core][parameters]") {
  static_assert(std::same_as<weights_of<Plain, void>, NoWeights>);
  NoWeights none;
  Parameters list;
  detail::append(list, "x.", none);
  CHECK(list.empty());
}

}  // namespace
