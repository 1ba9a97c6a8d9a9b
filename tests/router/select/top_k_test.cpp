// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/top_k.hpp>

#include <set>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using xmoe::select::TopK;
using Ids = std::vector<index>;

TEMPLATE_TEST_CASE("top-k: the order of a row", "[router][select]", float, double) {
  using R = TestType;
  CHECK(chosen_by<R>(TopK{2}, {1, 4, 2, 3}) == Ids{1, 3});
  CHECK(chosen_by<R>(TopK{4}, {1, 4, 2, 3}) == Ids{1, 3, 2, 0});
  CHECK(chosen_by<R>(TopK{1}, {-5, -4, -6}) == Ids{1});
  CHECK(chosen_by<R>(TopK{3}, {R(-1e30), R(-1e29), R(-1e31)}) == Ids{1, 0, 2});
  CHECK(chosen_by<R>(TopK{2}, {1, 4, 2, 3}) != Ids{3, 1});
}

TEMPLATE_TEST_CASE("top-k: ties go to the lower index", "[router][select]", float, double) {
  using R = TestType;
  CHECK(chosen_by<R>(TopK{3}, std::vector<R>(60, R(0.5))) == Ids{0, 1, 2});
  CHECK(chosen_by<R>(TopK{2}, {1, 3, 2, 2}) == Ids{1, 2});  // a tie at the last place
  CHECK(chosen_by<R>(TopK{3}, {2, 3, 2, 3, 2}) == Ids{1, 3, 0});
  CHECK(chosen_by<R>(TopK{2}, {-R(0), R(0), -R(0)}) == Ids{0, 1});  // the zeros are equal
  CHECK(chosen_by<R>(TopK{2}, {R(0), -R(0), R(0)}) == Ids{0, 1});
  const R tiny = std::numeric_limits<R>::denorm_min();
  CHECK(chosen_by<R>(TopK{3}, {R(0), tiny, -tiny, -R(0)}) == Ids{1, 0, 3});
}

TEMPLATE_TEST_CASE("top-k: infinities and NaN", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(chosen_by<R>(TopK{4}, {nan, -inf, 1, inf}) == Ids{3, 2, 0});  // -Inf: never
  CHECK(chosen_by<R>(TopK{2}, {-nan, nan, nan}) == Ids{0, 1});
  CHECK(chosen_by<R>(TopK{2}, {-inf, -inf, -inf}).empty());
}

TEMPLATE_TEST_CASE("top-k: every hard row against the oracle", "[router][select]", float, double) {
  using R = TestType;
  for (const index experts : {1, 2, 3, 7, 8, 17, 60, 64}) {
    for (const index k : {index(1), index(2), index(3), experts / 2, experts}) {
      if (k < 1 || k > experts) {
        continue;
      }
      reference::Router oracle;
      oracle.select = reference::Select::top_k;
      oracle.k = k;
      for (const auto& row : tests::hard_rows<R>(experts)) {
        INFO(experts << " experts, k " << k << ": " << row.name);
        const Ids got = chosen_by(TopK{k}, row.values);
        CHECK(got == reference::choose(oracle, tests::wide(row.values)));
        const index allowed = experts - std::count(row.values.begin(), row.values.end(),
                                                   -std::numeric_limits<R>::infinity());
        CHECK(static_cast<index>(std::set<index>(got.begin(), got.end()).size()) ==
              std::min(k, allowed));
        CHECK(std::all_of(got.begin(), got.end(), [&](index e) { return e >= 0 && e < experts; }));
      }
    }
  }
}

TEST_CASE("top-k: k must fit", "[router][select]") {
  const auto text = [](index k, index experts) {
    return tests::message_of<xmoe::value_error>([&] { TopK{k}.check({8, experts, 4}); });
  };
  CHECK(text(3, 2) == "xmoe::select::TopK: k is 3, must be in 1 .. 2 (experts)");
  CHECK(text(0, 2) == "xmoe::select::TopK: k is 0, must be in 1 .. 2 (experts)");
  CHECK(text(-1, 2) == "xmoe::select::TopK: k is -1, must be in 1 .. 2 (experts)");
  CHECK(text(1, 1).empty());
  CHECK(text(2, 2).empty());
  CHECK(TopK{3}.max_assignments(5, 9) == 15);
}

}  // namespace
}  // namespace xmoe
