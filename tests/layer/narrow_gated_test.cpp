// SPDX-License-Identifier: Apache-2.0
// Gated layers with weights of 16 bits against the oracle on the rounded weights.
#include "layer/narrow_case.hpp"
#include "support/catch.hpp"

namespace {

using namespace xmoe;

TEMPLATE_TEST_CASE("narrow layer equals the oracle: gated, top-k", "[layer][oracle][narrow]",
                   bfloat16, half) {
  tests::check_sizes<TestType, tests::NarrowGlu<TestType>>(true, false);
}
TEMPLATE_TEST_CASE("narrow layer equals the oracle: gated interleaved, threshold, capacity",
                   "[layer][oracle][narrow]", bfloat16, half) {
  tests::check_sizes<TestType, tests::NarrowGluLimited<TestType>>(true, true);
}

}  // namespace
