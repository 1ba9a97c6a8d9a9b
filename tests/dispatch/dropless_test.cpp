// SPDX-License-Identifier: Apache-2.0
#include <xmoe/dispatch/dropless.hpp>

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace xmoe {
namespace {

using dispatch::Dropless;

TEST_CASE("dropless: everything runs", "[dispatch]") {
  tests::Generator random(1);
  tests::Work<float> work;
  for (const bool skewed : {false, true}) {
    const auto wishes = tests::random_wishes(random, 33, 7, 7, skewed);
    const Routing<float> routing = tests::routing_of<float>(7, wishes);
    auto ctx = work.context();
    const PlanView plan = Dropless{}.plan(ctx, routing.view(), 7);
    CHECK(plan.wanted == routing.assignments());
    CHECK(plan.kept == routing.assignments());
    CHECK(plan.dropped() == 0);
    CHECK(plan.capacity == 33);
    tests::check_plan(plan, routing.view(), 0);
    CHECK(Dropless{}.max_rows(ctx, 33, 7, 99) == 99);
  }
}

TEST_CASE("dropless: a token's sum does not see its neighbours", "[dispatch]") {
  tests::Generator random(2);
  const index experts = 5, dim = 3;
  const auto wishes = tests::random_wishes(random, 9, experts, 4, false);
  const auto sums = [&](const std::vector<std::vector<tests::Wish>>& tokens, index which) {
    const Routing<float> routing = tests::routing_of<float>(experts, tokens);
    tests::Work<float> work;
    auto ctx = work.context();
    const PlanView plan = Dropless{}.plan(ctx, routing.view(), experts);
    std::vector<float> rows;  // a function of the token's rank and expert alone
    for (index m = 0; m < plan.kept; ++m) {
      const index a = plan.assignment[m];
      for (index d = 0; d < dim; ++d) {
        rows.push_back(routing.view().score[a] /
                       static_cast<float>(3 + d + routing.view().expert[a]));
      }
    }
    std::vector<float> y(tokens.size() * dim);
    const auto weight = tests::row_weights(routing.view(), plan);
    const RowSum<float> sum{plan.token, weight.data(),
                            Out<float>(y.data(), static_cast<index>(tokens.size()), dim)};
    sum.clear();
    for (index m = 0; m < plan.kept; ++m) {
      sum.add(m, 0, dim, rows.data() + m * dim);
    }
    return std::vector<float>(y.begin() + which * dim, y.begin() + (which + 1) * dim);
  };
  for (index t = 0; t < 9; ++t) {
    CHECK(tests::same_bits(sums(wishes, t), sums({wishes[static_cast<std::size_t>(t)]}, 0)));
  }
  CHECK_FALSE(tests::same_bits(sums(wishes, 0), sums(wishes, 1)));
}

}  // namespace
}  // namespace xmoe
