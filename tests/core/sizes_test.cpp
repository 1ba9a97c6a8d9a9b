// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/sizes.hpp>

#include "support/catch.hpp"

TEST_CASE("sizes are given by name", "[core][sizes]") {
  constexpr xmoe::Sizes sizes{.model_dim = 768, .experts = 64, .expert_dim = 384};
  CHECK(sizes.model_dim == 768);
  CHECK(sizes.experts == 64);
  CHECK(sizes.expert_dim == 384);
  CHECK(xmoe::Sizes{}.experts == 0);
}
