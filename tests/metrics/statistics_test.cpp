// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/statistics.hpp>

#include "support/catch.hpp"
#include "support/routing_case.hpp"

namespace xmoe {
namespace {

using tests::Wish;
using tests::within;

/// Statistics of wishes under a dispatch.
template <class P>
Statistics measure(const P& policy, index experts, const std::vector<std::vector<Wish>>& wishes,
                   const std::vector<double>& scores = {},
                   const std::vector<std::uint8_t>& valid = {}) {
  Routing<double> routing = tests::routing_of<double>(experts + P::placeholders, wishes);
  RoutingView<double> view = routing.view();
  if (!valid.empty()) {
    view.valid_tokens = std::count(valid.begin(), valid.end(), std::uint8_t(1));
  }
  tests::Work<double> work;
  auto ctx = work.context();
  const PlanView plan = policy.plan(ctx, view, experts);
  const index columns = experts + P::placeholders;
  return metrics::statistics(
      view, plan, scores.empty() ? In<double>() : In<double>(scores.data(), view.tokens, columns),
      tests::in(valid), P::placeholders, 10.0, 3.0);
}

using dispatch::Capacity;
using dispatch::Dropless;
using dispatch::Limit;
using dispatch::WithPlaceholder;

TEST_CASE("statistics: by hand, with drops", "[metrics]") {
  // expert 0 wanted four times, at most two kept: tokens 0 and 2 (first choices, .9 and .8)
  const std::vector<std::vector<Wish>> wishes = {
      {{0, .9}}, {{0, .6}, {1, .4}}, {{0, .8}, {2, .1}}, {{1, .5}, {0, .5}}};
  const Statistics s = measure(Capacity{.limit = Limit::absolute, .absolute = 2}, 3, wishes);
  CHECK(s.summary.tokens == 4);
  CHECK(s.summary.wanted == 7);
  CHECK(s.summary.kept == 5);
  CHECK(s.summary.dropped == 2);
  CHECK(s.summary.capacity == 2);
  CHECK(s.summary.experts_per_token() == 1.25);
  CHECK(s.claims == std::vector<index>{4, 2, 1});
  CHECK(s.load == std::vector<index>{2, 2, 1});
  CHECK(s.wanted_per_token == 1.75);
  CHECK(s.kept_per_token == 1.25);
  CHECK(s.token_not_full_ratio == 0.5);  // tokens 1 and 3
  CHECK(s.token_no_choice_ratio == 0.0);
  CHECK(s.first_choice_drop_percent == 25.0);  // token 1
  CHECK(within(s.expert_not_full_ratio, 1.0 / 3.0, 1e-15));
  // first choices .5 .6 .8 .9
  CHECK(within(s.top_score.mean, (0.9 + 0.6 + 0.8 + 0.5) / 4.0, 1e-15));
  CHECK(s.top_score.least == 0.5);
  CHECK(within(s.top_score.lower_quartile, 0.575, 1e-15));
  CHECK(within(s.top_score.median, 0.7, 1e-15));
  CHECK(within(s.top_score.upper_quartile, 0.825, 1e-15));
  CHECK(s.top_score.most == 0.9);
  CHECK(within(s.jain_index, 25.0 / (3.0 * 9.0), 1e-15));  // loads 2 2 1
  // first choices 3, 1, 0 around 4/3: variance (25 + 1 + 16) / 27
  CHECK(within(s.balance_deviation, std::sqrt(42.0 / 27.0) / (4.0 / 3.0), 1e-15));
  CHECK(s.flops_routed == 50.0);
  CHECK(s.flops_wanted == 70.0);
  CHECK(s.flops_padded == 60.0);
  CHECK(s.flops_router == 12.0);
  CHECK(s.entropy == 0.0);  // no scores were given
  CHECK(metrics::receive_percent(s, 0) == 100.0);
  CHECK(metrics::receive_percent(s, 2) == 25.0);
  CHECK(s.ratio(s.flops_routed, 25.0) == 0.5);  // 12.5 a token
  CHECK(s.ratio(s.flops_routed, 0.0) == 0.0);
  const Statistics all = measure(Dropless{}, 3, wishes);  // twin
  CHECK(all.summary.dropped == 0);
  CHECK(all.load == all.claims);
  CHECK(all.first_choice_drop_percent == 0.0);
}

TEST_CASE("statistics: entropy lies between 0 and ln E", "[metrics]") {
  const std::vector<std::vector<Wish>> wishes = {{{0, .5}}, {{1, .5}}};
  CHECK(within(measure(Dropless{}, 4, wishes, std::vector<double>(8, 0.25)).entropy, std::log(4.0),
               1e-15));
  CHECK(measure(Dropless{}, 4, wishes, {1, 0, 0, 0, 0, 1, 0, 0}).entropy == 0.0);
  // rows are divided by their sums: sigmoid scores
  CHECK(within(measure(Dropless{}, 4, wishes, std::vector<double>(8, 0.8)).entropy, std::log(4.0),
               1e-15));
  CHECK(within(measure(Dropless{}, 2, wishes, {0.5, 0.5, 0.25, 0.75}).entropy,
               0.5 * (std::log(2.0) - 0.25 * std::log(0.25) - 0.75 * std::log(0.75)), 1e-15));
  CHECK(measure(Dropless{}, 2, wishes, {0, 0, 1, 0}).entropy == 0.0);  // a row of nothing
}

TEST_CASE("statistics: balanced and collapsed", "[metrics]") {
  std::vector<std::vector<Wish>> even, one;
  for (index t = 0; t < 12; ++t) {
    even.push_back({{t % 4, .5}});
    one.push_back({{3, .5}});
  }
  CHECK(measure(Dropless{}, 4, even).balance_deviation == 0.0);
  // counts 0, 0, 0, 12 around 3: deviation sqrt(27) over 3
  CHECK(within(measure(Dropless{}, 4, one).balance_deviation, std::sqrt(3.0), 1e-15));
  CHECK(measure(Dropless{}, 4, even).claims == std::vector<index>(4, 3));
}

TEST_CASE("statistics: the placeholder is no expert", "[metrics]") {
  const Statistics s = measure(WithPlaceholder<Dropless>{}, 2,
                               {{{0, .9}}, {{0, .6}, {2, .3}}, {{1, .8}}, {{2, .7}, {0, .2}}});
  CHECK(s.summary.wanted == 3);
  CHECK(s.skip_ratio == 0.75);
  CHECK(s.token_no_choice_ratio == 0.25);
  CHECK(s.claims == std::vector<index>{1, 2});
  CHECK(s.first_choice_drop_percent == 0.0);  // choosing nobody is not a drop
  CHECK(s.token_not_full_ratio == 0.0);
}

TEST_CASE("statistics: padding is not there, nothing gives 0", "[metrics]") {
  const std::vector<std::vector<Wish>> wishes = {{{0, .9}}, {}, {{1, .6}, {0, .4}}};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Statistics padded = measure(Dropless{}, 2, wishes, {.9, .1, nan, nan, .4, .6}, {1, 0, 1});
  const Statistics compact = measure(Dropless{}, 2, {wishes[0], wishes[2]}, {.9, .1, .4, .6});
  CHECK(padded.summary.tokens == 2);
  CHECK(padded.wanted_per_token == compact.wanted_per_token);
  CHECK(padded.entropy == compact.entropy);
  CHECK(padded.top_score.mean == compact.top_score.mean);
  CHECK(padded.token_no_choice_ratio == 0.0);
  CHECK(padded.balance_deviation == compact.balance_deviation);
  const Statistics none = measure(Dropless{}, 2, {});
  for (const double v : {none.wanted_per_token, none.kept_per_token, none.entropy, none.skip_ratio,
                         none.balance_deviation, none.flops_router, none.ratio(1.0, 1.0),
                         none.summary.experts_per_token(), metrics::receive_percent(none, 0)}) {
    CHECK(v == 0.0);
  }
}

TEST_CASE("statistics: sums over random plans", "[metrics]") {
  tests::Generator random(3);
  for (const index experts : {1, 2, 7, 60}) {
    for (const bool skewed : {false, true}) {
      const auto wishes = tests::random_wishes(random, 33, experts, 4, skewed);
      const Statistics s = measure(Capacity{.factor = 1.0, .minimum = 1}, experts, wishes);
      index load = 0, claims = 0;
      for (std::size_t e = 0; e < s.load.size(); ++e) {
        load += s.load[e];
        claims += s.claims[e];
        CHECK(s.load[e] <= s.claims[e]);
        CHECK(s.load[e] <= s.summary.capacity);
      }
      CHECK(load == s.summary.kept);
      CHECK(claims == s.summary.wanted);
      CHECK(s.summary.kept + s.summary.dropped == s.summary.wanted);
      CHECK(s.flops_routed <= s.flops_wanted);
      CHECK(s.flops_routed <= s.flops_padded);
    }
  }
}

}  // namespace
}  // namespace xmoe
