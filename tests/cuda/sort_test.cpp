// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/sort.cuh>

#include "plan_case.hpp"

namespace tests {
namespace {

using xmoe::cuda::sort_by_expert;
using Wishes = std::vector<std::vector<Wish>>;

PlanNumbers sorted_by_cpu(const xmoe::Routing<float>& routing, int experts, int first, int width) {
  Work<float> work;
  work.keep = xmoe::Workspace(index(1) << 24);
  auto ctx = work.context();
  const auto view = routing.view();
  const auto plan = xmoe::dispatch::Dropless{}.plan(ctx, view, experts, first);
  return numbers_of(plan, view, width);
}

PlanNumbers sorted_by_device(const xmoe::Routing<float>& routing, int experts, int first, int width,
                             unsigned seed) {
  const Emulated emulated(seed);
  const SlotsOnDevice<float> slots(routing, width);
  const PlanOnDevice plan(slots.tokens, experts, width, slots.tokens * width);
  const std::size_t bytes = xmoe::cuda::sort_scratch_bytes(slots.tokens, experts);
  const OnDevice<int> scratch(std::vector<int>(bytes / sizeof(int), -7));
  emulation::reset_counters();
  sort_by_expert(nullptr, slots.view(), first, plan.view(), scratch.data());
  const auto counts = emulation::counters();
  REQUIRE((counts.copies == 0 && counts.allocations == 0 && counts.synchronizations == 0));
  return plan.numbers();
}

void check(int outputs, int first, const Wishes& wishes, int width) {
  const auto routing = routing_of<float>(outputs, wishes);
  const int experts = outputs - first;
  const auto want = sorted_by_cpu(routing, experts, first, width);
  require_plan(sorted_by_device(routing, experts, first, width, 0), want);
  require_plan(sorted_by_device(routing, experts, first, width, 3), want);
}

}  // namespace

TEST_CASE("sort: the CPU's plan in one block", "[cuda]") {
  for (const int experts : emulation::sizes({1, 2, 8, 33, 128}, {1, 8, 128})) {
    for (const int tokens : emulation::sizes({0, 1, 31, 32, 33, 257}, {0, 33, 257})) {
      INFO("T " << tokens << ", E " << experts);
      Generator random(static_cast<std::uint64_t>(tokens + 1000 * experts));
      const int most = experts < 7 ? experts : 7;
      check(experts, 0, random_wishes(random, tokens, experts, most, false), most);
      check(experts, 0, random_wishes(random, tokens, experts, 1, true), most + 2);
      check(experts, 0, random_wishes(random, tokens, experts, experts, false), experts);
      check(experts + 1, 1, random_wishes(random, tokens, experts + 1, most, true), most);
    }
  }
  Generator random(5);
  check(8, 0, random_wishes(random, 1024, 8, 3, false), 4);
  check(8, 0, Wishes(70), 3);  // nobody wants anything
}

TEST_CASE("sort: the CPU's plan in three steps", "[cuda]") {
  Generator random(6);
  check(8, 0, random_wishes(random, 1025, 8, 3, false), 3);
  check(9, 1, random_wishes(random, 2000, 9, 2, true), 4);
  check(2000, 0, random_wishes(random, 257, 2000, 3, false), 3);  // too many for one block
  check(9000, 0, random_wishes(random, 70, 9000, 2, true), 2);    // and for chunks of 128 tokens
  check(3, 0, random_wishes(random, 128 * 128 + 1, 3, 1, false), 1);  // blocks of two chunks
}

TEST_CASE("sort: one expert several times in a row", "[cuda]") {
  for (const int tokens : {40, 1100}) {
    Generator random(7);
    Wishes wishes = random_wishes(random, tokens, 5, 2, false);
    wishes[3] = {{2, 0.5}, {1, 0.4}, {2, 0.3}};
    wishes[33] = {{4, 0.5}, {4, 0.4}, {4, 0.3}};
    wishes.back() = {{2, 0.5}, {2, 0.5}};
    check(5, 0, wishes, 3);
    check(5, 1, wishes, 4);
  }
}

TEST_CASE("sort: too many experts are refused", "[cuda]") {
  const SlotsOnDevice<float> slots(routing_of<float>(2, {{{0, 1.0}}}), 1);
  const PlanOnDevice plan(1, 2, 1, 1);
  auto view = plan.view();
  view.experts = 30'000;
  REQUIRE_THROWS_AS(sort_by_expert(nullptr, slots.view(), 0, view, nullptr), xmoe::shape_error);
}

}  // namespace tests
