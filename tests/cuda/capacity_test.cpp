// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/capacity.cuh>

#include "plan_case.hpp"

namespace tests {
namespace {

using xmoe::Mode;
using xmoe::dispatch::CapacityBy;
using xmoe::dispatch::Limit;
namespace priority = xmoe::priority;
using Wishes = std::vector<std::vector<Wish>>;

struct Crowd {
  int outputs, first, width;
  xmoe::Routing<float> routing;
  index valid;  ///< tokens that count
  Mode mode = Mode::infer;
  xmoe::Random random{17, 4};

  int experts() const { return outputs - first; }
};

template <class P>
PlanNumbers planned_by_cpu(const CapacityBy<P>& dispatch, const Crowd& c) {
  Work<float> work;
  work.mode = c.mode;
  work.random = c.random;
  work.keep = xmoe::Workspace(index(1) << 24);
  auto ctx = work.context();
  auto view = c.routing.view();
  view.valid_tokens = c.valid;
  return numbers_of(dispatch.plan(ctx, view, c.experts(), c.first), view, c.width);
}

template <class P>
PlanNumbers planned_by_device(const CapacityBy<P>& dispatch, const Crowd& c, unsigned seed) {
  const Emulated emulated(seed);
  const SlotsOnDevice<float> slots(c.routing, c.width);
  const PlanOnDevice plan(slots.tokens, c.experts(), c.width, slots.tokens * c.width);
  const std::size_t bytes = xmoe::cuda::capacity_scratch_bytes(slots.tokens, c.experts(), c.width);
  const OnDevice<int> scratch(std::vector<int>(bytes / sizeof(int), -7));
  const OnDevice<int> valid(std::vector<int>{static_cast<int>(c.valid)});
  auto view = slots.view();
  if (c.valid != c.routing.tokens()) {
    view.valid_tokens = valid.data();
  }
  emulation::reset_counters();
  xmoe::cuda::sort_with_capacity<P>(nullptr, xmoe::cuda::capacity_of(dispatch, c.mode, c.experts()),
                                    c.random, view, c.first, plan.view(), scratch.data());
  const auto counts = emulation::counters();
  REQUIRE((counts.copies == 0 && counts.allocations == 0 && counts.synchronizations == 0));
  return plan.numbers();
}

template <class P>
PlanNumbers check(const CapacityBy<P>& dispatch, const Crowd& c) {
  const auto want = planned_by_cpu(dispatch, c);
  const auto got = planned_by_device(dispatch, c, 0);
  require_plan(got, want);
  REQUIRE(got.wanted == want.wanted);
  require_plan(planned_by_device(dispatch, c, 9), want);
  return want;
}

Crowd random_case(int tokens, int outputs, int first, int most, bool skewed, bool ties) {
  Generator random(static_cast<std::uint64_t>(tokens * 100 + outputs));
  Wishes wishes = random_wishes(random, tokens, outputs, most, skewed);
  for (auto& token : wishes) {
    for (auto& wish : token) {
      wish.score = ties ? std::round(4 * wish.score) / 4 : wish.score;
    }
  }
  return {outputs, first, most, routing_of<float>(outputs, wishes), tokens};
}

}  // namespace

TEMPLATE_TEST_CASE("capacity: the CPU's plan", "[cuda]", priority::RankThenProbability,
                   priority::RankThenToken, priority::Probability, priority::Random,
                   priority::LastToken, priority::BestTokenFirst) {
  using D = CapacityBy<TestType>;
  for (const int experts : emulation::sizes({1, 2, 8, 33}, {1, 2, 8})) {
    for (const int tokens : emulation::sizes({0, 1, 31, 32, 33, 257}, {0, 33})) {
      for (const bool skewed : {false, true}) {
        INFO("T " << tokens << ", E " << experts << ", skewed " << skewed);
        const int most = experts < 3 ? experts : 3;
        check(D{.factor = 1.0, .minimum = 0},
              random_case(tokens, experts, 0, most, skewed, skewed));
        check(D{.factor = 0.3, .minimum = 4}, random_case(tokens, experts, 0, most, skewed, true));
        check(D{.factor = 0.7}, random_case(tokens, experts + 1, 1, most, skewed, false));
      }
    }
  }
  Crowd c = random_case(257, 8, 0, 8, true, true);
  for (const int limit : emulation::sizes({0, 1, 2, 31, 256}, {1, 31})) {
    check(D{.limit = Limit::absolute, .absolute = limit}, c);
  }
  check(D{.limit = Limit::none}, c);
  check(D{.factor = 0.2, .eval_factor = 0.5}, c);
  c.mode = Mode::train;
  check(D{.factor = 0.2, .eval_factor = 0.5}, c);
  c.valid = 100;  // the device knows how many tokens are padding
  check(D{.factor = 0.4, .minimum = 0}, c);
  const Crowd large = random_case(1100, 4, 0, 2, true, false);
  check(D{.factor = 0.5}, large);
}

TEST_CASE("capacity: another priority, seed or use keeps other claims", "[cuda]") {
  Crowd c = random_case(257, 8, 0, 8, true, true);
  const CapacityBy<priority::Random> by_chance{.factor = 0.3};
  const auto one = check(by_chance, c);
  c.random.seed = 18;
  REQUIRE_FALSE(check(by_chance, c) == one);
  c.random = {17, 5};
  REQUIRE_FALSE(check(by_chance, c) == one);
  REQUIRE_FALSE(check(CapacityBy<priority::Probability>{.factor = 0.3}, c) ==
                check(CapacityBy<priority::RankThenToken>{.factor = 0.3}, c));
}

TEST_CASE("capacity: the limit is the dispatch's", "[cuda]") {
  for (const int tokens : {0, 1, 2, 17, 33, 1000}) {
    for (const int experts : {1, 2, 3, 7, 8, 60}) {
      for (const double factor : {1e-9, 0.5, 1.0, 1.25, 8.0, 1e300}) {
        for (const index minimum : {index(0), index(4), index(1) << 40}) {
          const xmoe::dispatch::Capacity d{.factor = factor, .minimum = minimum};
          REQUIRE(xmoe::cuda::capacity_of(d, Mode::train, experts)(tokens) ==
                  static_cast<int>(d.capacity(Mode::train, tokens, experts)));
        }
      }
    }
  }
}

}  // namespace tests
