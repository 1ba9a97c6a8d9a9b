// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/grouped.hpp>

#include <array>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEST_CASE("rows lie one behind the other, or where the index says", "[core][grouped]") {
  const std::array<float, 12> numbers = {};
  const float* data = numbers.data();
  const Rows<float> plain{data, 4, nullptr};
  CHECK(plain.row(0) == data);
  CHECK(plain.row(2) == data + 8);
  const std::array<std::int32_t, 3> gather = {2, 0, 2};
  const Rows<float> gathered{data, 4, gather.data()};
  CHECK(gathered.row(0) == data + 8);
  CHECK(gathered.row(1) == data);
  CHECK(gathered.row(2) == data + 8);
}

TEST_CASE("groups without offsets are groups being measured", "[core][grouped]") {
  const Groups groups;
  CHECK(groups.count == 0);
  CHECK(groups.offsets == nullptr);
  CHECK(groups.rows == 0);
}

}  // namespace
