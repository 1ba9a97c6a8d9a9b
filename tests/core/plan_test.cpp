// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/plan.hpp>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEST_CASE("a plan counts what it dropped and what an expert carries", "[core][plan]") {
  Workspace memory(4096);
  PlanView plan = PlanView::take(memory, 5, 3, 7);
  CHECK(plan.tokens == 5);
  CHECK(plan.experts == 3);
  plan.wanted = 7;
  plan.kept = 6;
  plan.expert_offsets[0] = 0;
  plan.expert_offsets[1] = 4;
  plan.expert_offsets[2] = 4;
  plan.expert_offsets[3] = 6;
  CHECK(plan.dropped() == 1);
  CHECK(plan.load(0) == 4);
  CHECK(plan.load(1) == 0);
  CHECK(plan.load(2) == 2);
  plan.token[6] = 1;
  plan.assignment[6] = 2;
  plan.row[6] = -1;
  CHECK(plan.expert_offsets[3] == 6);  // the arrays do not overlap
}

TEST_CASE("measuring a plan takes what the plan takes", "[core][plan]") {
  Workspace measure = Workspace::measure();
  CHECK(PlanView::take(measure, 5, 3, 7).row == nullptr);
  Workspace memory(measure.peak());
  CHECK(PlanView::take(memory, 5, 3, 7).row != nullptr);
  Workspace less(measure.peak() - 1);
  CHECK_THROWS_AS(PlanView::take(less, 5, 3, 7), value_error);
}

}  // namespace
