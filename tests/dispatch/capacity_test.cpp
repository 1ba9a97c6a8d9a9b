// SPDX-License-Identifier: Apache-2.0
#include <xmoe/dispatch/capacity.hpp>

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace xmoe {
namespace {

using dispatch::Capacity;
using dispatch::CapacityBy;
using dispatch::Limit;
using tests::Wish;
using Tokens = std::vector<index>;
using Wishes = std::vector<std::vector<Wish>>;

TEST_CASE("capacity: the arithmetic", "[dispatch]") {
  const auto c = [](double factor, index minimum, index tokens, index experts) {
    return Capacity{.factor = factor, .minimum = minimum}.capacity(Mode::infer, tokens, experts);
  };
  CHECK(c(1.0, 0, 64, 8) == 8);
  CHECK(c(1.0, 0, 65, 8) == 9);  // rounded up
  CHECK(c(1.25, 0, 64, 8) == 10);
  CHECK(c(8.0, 4, 16384, 64) == 2048);  // the published run
  CHECK(c(1.0, 4, 8, 8) == 4);          // at least the minimum
  CHECK(c(1.0, 4, 3, 8) == 3);          // but never more than the tokens
  CHECK(c(100.0, 0, 10, 8) == 10);
  CHECK(c(1e300, 0, 10, 8) == 10);
  CHECK(c(1e-9, 0, 10, 8) == 1);
  CHECK(c(1e-9, 0, 0, 8) == 0);
  CHECK(c(1.0, 4, 0, 8) == 0);
  CHECK(c(1.0, 0, 7, 1) == 7);
  CHECK(c(1.0, 0, 65, 8) != 8);
  for (const index tokens : {0, 1, 2, 17, 33, 1000}) {  // against the oracle's long double
    for (const index experts : {1, 2, 3, 7, 8, 60, 64}) {
      for (const double factor : {0.5, 1.0, 1.25, 2.0, 8.0}) {
        CHECK(c(factor, 4, tokens, experts) == reference::capacity_of(tokens, experts, factor, 4));
      }
    }
  }
}

TEST_CASE("capacity: modes and limits", "[dispatch]") {
  const Capacity both{.factor = 1.0, .eval_factor = 2.0, .minimum = 0};
  CHECK(both.capacity(Mode::train, 64, 8) == 8);
  CHECK(both.capacity(Mode::infer, 64, 8) == 16);
  const Capacity one{.factor = 1.5, .minimum = 0};
  CHECK(one.capacity(Mode::train, 64, 8) == 12);
  CHECK(one.capacity(Mode::infer, 64, 8) == 12);
  const Capacity absolute{.limit = Limit::absolute, .absolute = 3, .minimum = 9};
  CHECK(absolute.capacity(Mode::infer, 64, 8) == 3);
  CHECK(absolute.capacity(Mode::infer, 2, 8) == 2);
  CHECK(Capacity{.limit = Limit::absolute}.capacity(Mode::infer, 64, 8) == 0);
  CHECK(Capacity{.limit = Limit::none}.capacity(Mode::infer, 64, 8) == 64);
}

TEST_CASE("capacity: errors", "[dispatch]") {
  const auto text = [](const Capacity& c) {
    return tests::message_of<value_error>([&] { c.check({4, 2, 4}); });
  };
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(text({}).empty());
  CHECK(text({.factor = -1.0}) ==
        "xmoe::dispatch::Capacity: factor -1, eval_factor -1, absolute 0, minimum 4: factors must "
        "be positive and finite, counts not negative");
  for (const double bad : {0.0, inf, -inf, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_FALSE(text({.factor = bad}).empty());
    CHECK_FALSE(text({.eval_factor = bad}).empty());
  }
  CHECK(text({.absolute = -1}).find("absolute -1") != std::string::npos);
  CHECK(text({.minimum = -2}).find("minimum -2") != std::string::npos);
}

/// Tokens that expert 0 keeps of six that want it; at most `limit`.
template <class Priority>
Tokens kept(index limit, Random random = {}, const Wishes& more = {}) {
  Wishes wishes = {{{0, .30}}, {{1, .6}, {0, .25}}, {{0, .50}},
                   {{0, .40}}, {{1, .5}, {0, .45}}, {{0, .30}}};
  wishes.insert(wishes.end(), more.begin(), more.end());
  const Routing<double> routing = tests::routing_of<double>(2, wishes);
  tests::Work<double> work;
  work.random = random;
  auto ctx = work.context();
  const CapacityBy<Priority> policy{.limit = Limit::absolute, .absolute = limit};
  const PlanView plan = policy.plan(ctx, routing.view(), 2);
  tests::check_plan(plan, routing.view(), 0);
  return tests::tokens_of(plan, routing.view(), 0);
}

TEST_CASE("capacity: who is kept", "[dispatch]") {
  using priority::RankThenProbability;
  CHECK(kept<RankThenProbability>(6) == Tokens{0, 1, 2, 3, 4, 5});
  CHECK(kept<RankThenProbability>(5) == Tokens{0, 2, 3, 4, 5});  // of the second choices .45 > .25
  CHECK(kept<RankThenProbability>(4) == Tokens{0, 2, 3, 5});
  CHECK(kept<RankThenProbability>(3) == Tokens{0, 2, 3});  // .30 twice: the lower token
  CHECK(kept<RankThenProbability>(2) == Tokens{2, 3});
  CHECK(kept<RankThenProbability>(1) == Tokens{2});
  CHECK(kept<RankThenProbability>(0).empty());
  CHECK(kept<priority::RankThenToken>(3) == Tokens{0, 2, 3});
  CHECK(kept<priority::RankThenToken>(2) == Tokens{0, 2});
  CHECK(kept<priority::RankThenToken>(5) == Tokens{0, 1, 2, 3, 5});
  CHECK(kept<priority::Probability>(3) == Tokens{2, 3, 4});
  CHECK(kept<priority::Probability>(4) == Tokens{0, 2, 3, 4});
  CHECK(kept<priority::Probability>(3) != kept<RankThenProbability>(3));
}

TEST_CASE("capacity: scores that rank strangely", "[dispatch]") {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Wishes more = {{{0, nan}}, {{0, inf}}, {{0, -inf}}, {{0, -5.0}}, {{0, -0.0}}, {{0, 0.0}}};
  using priority::Probability;
  CHECK(kept<Probability>(1, {}, more) == Tokens{7});
  CHECK(kept<Probability>(8, {}, more) == Tokens{0, 1, 2, 3, 4, 5, 7, 10});  // -0 = +0: lower token
  CHECK(kept<Probability>(11, {}, more) == Tokens{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11});
}

TEST_CASE("capacity: random priority", "[dispatch]") {
  const Tokens first = kept<priority::Random>(3, Random{1});
  CHECK(first.size() == 3);
  CHECK(kept<priority::Random>(3, Random{1}) == first);
  int other = 0, counts[6] = {};
  constexpr int draws = 600;
  for (int seed = 0; seed < draws; ++seed) {
    const Tokens tokens = kept<priority::Random>(3, Random{static_cast<std::uint64_t>(seed)});
    other += tokens != first ? 1 : 0;
    for (const index t : tokens) {
      ++counts[t];
    }
  }
  CHECK(other > draws / 2);
  for (const int c : counts) {  // binomial with p = 1/2: deviation 12.2
    CHECK(std::abs(c - draws / 2) < 62);
  }
}

TEST_CASE("capacity: against a naive queue", "[dispatch]") {
  tests::Generator random(9);
  for (const index experts : {1, 2, 7, 60}) {
    for (const bool skewed : {false, true}) {
      const auto wishes = tests::random_wishes(random, 33, experts, 4, skewed);
      const Routing<double> routing = tests::routing_of<double>(experts, wishes);
      tests::Work<double> work;
      auto ctx = work.context();
      const Capacity policy{.factor = 1.0, .minimum = 2};
      const PlanView plan = policy.plan(ctx, routing.view(), experts);
      tests::check_plan(plan, routing.view(), 0);
      CHECK(plan.kept <= policy.max_rows(ctx, 33, experts, routing.assignments()));
      std::vector<std::vector<reference::Claim>> chosen(33);
      for (index t = 0; t < 33; ++t) {
        index rank = 0;
        for (const Wish& w : wishes[static_cast<std::size_t>(t)]) {
          chosen[static_cast<std::size_t>(t)].push_back(
              {t, w.expert, w.expert, rank++, w.score, w.score, false});
        }
      }
      reference::Setup setup;
      setup.experts.down = reference::Stack(experts, 1, 1);
      setup.capacity = {true, 1.0, 2, reference::Priority::rank_then_probability, {}};
      CHECK(plan.capacity == reference::keep(setup, 33, chosen));
      for (index t = 0; t < 33; ++t) {
        for (index a = routing.view().begin(t); a < routing.view().end(t); ++a) {
          const auto r = static_cast<std::size_t>(a - routing.view().begin(t));
          CHECK((plan.row[a] >= 0) == chosen[static_cast<std::size_t>(t)][r].kept);
        }
      }
    }
  }
}

TEST_CASE("capacity: without a limit as dropless", "[dispatch]") {
  tests::Generator random(10);
  const Routing<float> routing =
      tests::routing_of<float>(8, tests::random_wishes(random, 17, 8, 8, true));
  tests::Work<float> work;
  const auto kept_pairs = [&](const auto& policy) {
    auto ctx = work.context();
    return tests::kept_by_expert(policy.plan(ctx, routing.view(), 8), routing.view());
  };
  const auto want = kept_pairs(dispatch::Dropless{});
  CHECK(kept_pairs(Capacity{.limit = Limit::none}) == want);
  CHECK(kept_pairs(Capacity{.factor = 100.0}) == want);
  CHECK(kept_pairs(Capacity{.factor = 1.0}) != want);
}

}  // namespace
}  // namespace xmoe
