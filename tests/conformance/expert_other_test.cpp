// SPDX-License-Identifier: Apache-2.0
#include "conformance/expert_suite.hpp"

namespace conformance {
namespace {

TEST_CASE("experts: banks with other activations keep the contract", "[conformance]") {
  each(other_experts(), [](const auto& entry) { check_expert(entry.policy); });
}

}  // namespace
}  // namespace conformance
