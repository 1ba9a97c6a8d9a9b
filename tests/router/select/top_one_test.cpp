// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/top_one.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using xmoe::select::TopOne;
using Ids = std::vector<index>;

TEMPLATE_TEST_CASE("top-one: the largest, the lower index", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(chosen_by<R>(TopOne{}, {1, 4, 2, 3}) == Ids{1});
  CHECK(chosen_by<R>(TopOne{}, {1, 3, 3}) == Ids{1});
  CHECK(chosen_by<R>(TopOne{}, {-R(0), R(0)}) == Ids{0});
  CHECK(chosen_by<R>(TopOne{}, {nan, -inf, inf, R(1e30)}) == Ids{2});
  CHECK(chosen_by<R>(TopOne{}, {nan, nan}) == Ids{0});
  CHECK(chosen_by<R>(TopOne{}, {R(7)}) == Ids{0});
  CHECK(chosen_by<R>(TopOne{}, {1, 3, 3}) != Ids{2});
}

TEMPLATE_TEST_CASE("top-one: as top-k with k = 1", "[router][select]", float, double) {
  tests::Generator random(3);
  for (const index experts : {1, 2, 3, 7, 8, 60, 64}) {
    for (const auto& row : tests::hard_rows<TestType>(experts)) {
      INFO(experts << " experts: " << row.name);
      CHECK(chosen_by(TopOne{}, row.values) == chosen_by(xmoe::select::TopK{1}, row.values));
    }
  }
  CHECK(TopOne{}.max_assignments(5, 9) == 5);
}

}  // namespace
}  // namespace xmoe
