// SPDX-License-Identifier: Apache-2.0
#include <xmoe/dispatch/with_placeholder.hpp>

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace xmoe {
namespace {

using dispatch::Capacity;
using dispatch::Dropless;
using dispatch::Limit;
using dispatch::WithPlaceholder;

TEST_CASE("placeholder: output 0 is nobody", "[dispatch]") {
  // five outputs in front of four experts
  const Routing<double> routing = tests::routing_of<double>(
      5, {{{0, .5}, {3, .3}}, {{4, .6}, {0, .3}, {1, .1}}, {{0, .9}}, {{4, .5}}});
  tests::Work<double> work;
  auto ctx = work.context();
  const WithPlaceholder<Dropless> policy;
  const PlanView plan = policy.plan(ctx, routing.view(), 4);
  tests::check_plan(plan, routing.view(), 1);
  CHECK(plan.wanted == 4);
  CHECK(plan.kept == 4);
  CHECK(std::vector<index>(plan.expert_offsets, plan.expert_offsets + 5) ==
        std::vector<index>{0, 1, 1, 2, 4});
  const std::vector<double> rows = {1, 10, 100, 1000};  // (t1,e0) (t0,e2) (t1,e3) (t3,e3)
  std::vector<double> y(4, -1.0);
  const auto weight = tests::row_weights(routing.view(), plan);
  const RowSum<double> sum{plan.token, weight.data(), Out<double>(y.data(), 4, 1)};
  sum.clear();
  for (index m = 0; m < 4; ++m) {
    sum.add(m, 0, 1, rows.data() + m);
  }
  CHECK(tests::relative_error(y, {3.0, 60.1, 0.0, 500.0}) < 1e-15);  // token 2: nothing, exactly
  CHECK(y[2] == 0.0);
  ctx.backend.sum_by_token<double>(routing.view().offsets, plan.row, In<double>(rows.data(), 4, 1),
                                   Out<double>(y.data(), 4, 1));
  CHECK(y == std::vector<double>{10, 101, 0, 1000});
}

TEST_CASE("placeholder: it spends a rank but no capacity", "[dispatch]") {
  // Token 1 wants expert 0 with its second rank; the placeholder's claims are not counted.
  const Routing<double> routing = tests::routing_of<double>(
      3, {{{0, .9}}, {{0, .6}, {1, .4}}, {{1, .3}}, {{0, .5}}, {{0, .5}}});
  tests::Work<double> work;
  auto ctx = work.context();
  const WithPlaceholder<Capacity> policy{{.limit = Limit::absolute, .absolute = 1}};
  const PlanView plan = policy.plan(ctx, routing.view(), 2);
  tests::check_plan(plan, routing.view(), 1);
  CHECK(plan.wanted == 2);
  CHECK(plan.kept == 1);
  CHECK(tests::tokens_of(plan, routing.view(), 0) == std::vector<index>{2});  // first choice first
  CHECK(policy.max_rows(ctx, 5, 2, 10) == 2);
}

TEST_CASE("placeholder: the inner policy is checked", "[dispatch]") {
  CHECK(WithPlaceholder<Capacity>::placeholders == 1);
  CHECK(Capacity::placeholders == 0);
  CHECK(tests::message_of<value_error>([] {
          WithPlaceholder<Capacity>{{.factor = 0.0}}.check({4, 2, 4});
        }).find("xmoe::dispatch::Capacity: factor 0") == 0);
}

}  // namespace
}  // namespace xmoe
