// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/all.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using xmoe::select::All;
using Ids = std::vector<index>;

TEMPLATE_TEST_CASE("all: everybody, best first", "[router][select]", float, double) {
  using R = TestType;
  CHECK(chosen_by<R>(All{}, {1, 4, 2, 4}) == Ids{1, 3, 2, 0});
  CHECK(chosen_by<R>(All{}, {R(0), -R(0), R(0)}) == Ids{0, 1, 2});
  CHECK(chosen_by<R>(All{}, {R(5)}) == Ids{0});
  CHECK(chosen_by<R>(All{}, {1, 4, 2, 4}) != Ids{3, 1, 2, 0});
  CHECK(All{}.max_assignments(3, 7) == 21);
}

TEMPLATE_TEST_CASE("all: as top-k with k = E", "[router][select]", float, double) {
  for (const index experts : {1, 2, 3, 16, 17, 18, 60, 64}) {  // around where scanning ends
    for (const auto& row : tests::hard_rows<TestType>(experts)) {
      INFO(experts << " experts: " << row.name);
      CHECK(chosen_by(All{}, row.values) == chosen_by(xmoe::select::TopK{experts}, row.values));
    }
  }
}

}  // namespace
}  // namespace xmoe
