// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/identity.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::score::Identity;

TEMPLATE_TEST_CASE("identity: every bit passes", "[router][score]", float, double) {
  for (const auto& row : tests::hard_rows<TestType>(9)) {
    INFO(row.name);
    CHECK(tests::same_bits(tests::scores_of(Identity{}, row.values), row.values));
  }
  CHECK_FALSE(
      tests::same_bits<TestType>(tests::scores_of<TestType>(Identity{}, {0}), {-TestType(0)}));
}

TEST_CASE("identity: the gradient passes and adds", "[router][score]") {
  const std::vector<double> z = {5.0, -1.0};
  std::vector<double> dz = {1.0, 2.0};
  Identity{}.row_backward(tests::in(z), tests::in(z), tests::in(std::vector<double>{0.5, -7.0}),
                          tests::out(dz));
  CHECK(dz == std::vector<double>{1.5, -5.0});
}

}  // namespace
}  // namespace xmoe
