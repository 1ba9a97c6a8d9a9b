// SPDX-License-Identifier: Apache-2.0
#include <xmoe/dispatch/grouping.hpp>

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace xmoe {
namespace {

using tests::Kept;

struct Grouped {
  Workspace memory{1 << 16};
  Routing<double> routing;
  PlanView plan;

  Grouped(index experts, index first, const std::vector<std::vector<tests::Wish>>& wishes)
      : routing(tests::routing_of<double>(experts + first, wishes)) {
    plan = PlanView::take(memory, routing.tokens(), experts, routing.assignments());
    dispatch::detail::group_by_expert(routing.view(), first, plan);
    plan.capacity = plan.kept;
    dispatch::detail::index_rows(routing.view(), plan);
  }
};

TEST_CASE("grouping: a stable counting sort", "[dispatch]") {
  const Grouped g(3, 0, {{{2, .5}, {0, .3}}, {}, {{2, .9}}, {{0, .6}, {2, .2}}});
  CHECK(std::vector<index>(g.plan.expert_offsets, g.plan.expert_offsets + 4) ==
        std::vector<index>{0, 2, 2, 5});
  CHECK(std::vector<std::int32_t>(g.plan.token, g.plan.token + 5) ==
        std::vector<std::int32_t>{0, 3, 0, 2, 3});
  CHECK(std::vector<index>(g.plan.assignment, g.plan.assignment + 5) ==
        std::vector<index>{1, 3, 0, 2, 4});
  CHECK(std::vector<index>(g.plan.row, g.plan.row + 5) == std::vector<index>{2, 0, 3, 1, 4});
  CHECK(g.plan.wanted == 5);
  tests::check_plan(g.plan, g.routing.view(), 0);
}

TEST_CASE("grouping: experts that start later leave the others out", "[dispatch]") {
  const Grouped g(2, 1, {{{0, .5}, {2, .3}}, {{1, .9}, {0, .1}}, {{0, .6}}});
  CHECK(g.plan.wanted == 2);
  CHECK(g.plan.kept == 2);
  CHECK(std::vector<index>(g.plan.expert_offsets, g.plan.expert_offsets + 3) ==
        std::vector<index>{0, 1, 2});
  CHECK(std::vector<index>(g.plan.row, g.plan.row + 5) == std::vector<index>{-1, 1, 0, -1, -1});
  tests::check_plan(g.plan, g.routing.view(), 1);
}

TEST_CASE("grouping: nothing to do", "[dispatch]") {
  const Grouped none(3, 0, {});
  CHECK(none.plan.kept == 0);
  CHECK(none.plan.expert_offsets[3] == 0);
  const Grouped idle(2, 0, {{}, {}});
  CHECK(idle.plan.wanted == 0);
  tests::check_plan(idle.plan, idle.routing.view(), 0);
}

TEST_CASE("grouping: one expert twice in a row", "[dispatch]") {
  const Grouped g(2, 0, {{{1, .5}, {1, .25}}});
  CHECK(g.plan.load(1) == 2);
  CHECK(std::vector<index>(g.plan.row, g.plan.row + 2) == std::vector<index>{0, 1});
}

}  // namespace
}  // namespace xmoe
