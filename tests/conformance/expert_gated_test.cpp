// SPDX-License-Identifier: Apache-2.0
#include "conformance/expert_suite.hpp"

namespace conformance {
namespace {

TEST_CASE("experts: gated banks keep the contract", "[conformance]") {
  each(gated_experts(), [](const auto& entry) { check_expert(entry.policy); });
}

}  // namespace
}  // namespace conformance
