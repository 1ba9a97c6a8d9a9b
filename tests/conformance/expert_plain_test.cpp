// SPDX-License-Identifier: Apache-2.0
#include "conformance/expert_suite.hpp"

namespace conformance {
namespace {

TEST_CASE("experts: plain banks keep the contract", "[conformance]") {
  each(plain_experts(), [](const auto& entry) { check_expert(entry.policy); });
}

}  // namespace
}  // namespace conformance
