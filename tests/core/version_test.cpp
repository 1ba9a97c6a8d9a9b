// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/version.hpp>

#include <string>

#include "support/catch.hpp"

TEST_CASE("the version's text is its three numbers", "[core][version]") {
  CHECK(std::to_string(XMOE_VERSION_MAJOR) + "." + std::to_string(XMOE_VERSION_MINOR) + "." +
            std::to_string(XMOE_VERSION_PATCH) ==
        XMOE_VERSION_STRING);
}
