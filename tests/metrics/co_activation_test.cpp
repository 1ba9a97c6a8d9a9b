// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/co_activation.hpp>

#include <xmoe/metrics/agreement.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::CoActivation;
using Counts = std::vector<index>;

TEST_CASE("co-activation: golden figures, top 2 of four tokens", "[metrics]") {
  const std::vector<std::vector<double>> logits = {{1, 0, -1}, {0, 1, .5}, {2, -1, 1}, {.2, .1, 0}};
  std::vector<std::vector<tests::Wish>> wishes;
  for (const auto& row : logits) {
    wishes.emplace_back();
    for (const std::int32_t e : metrics::top_experts(row, 2)) {
      wishes.back().push_back({e, row[static_cast<std::size_t>(e)]});
    }
  }
  const CoActivation c = metrics::co_activation(tests::routing_of<double>(3, wishes).view());
  CHECK(c.tokens == Counts{3, 3, 2});
  CHECK(c.pairs == Counts{0, 2, 1, 2, 0, 1, 1, 1, 0});
  CHECK(c.share(0, 1) == 2.0 / 3.0);
  CHECK(c.share(2, 0) == 0.5);
  CHECK(c.share(0, 2) == 1.0 / 3.0);  // of the tokens of the first, not of the second
  CHECK(c.share(1, 1) == 0.0);
  CHECK(c.shares()[6] == 0.5);
}

TEST_CASE("co-activation: always together, never together, an expert twice", "[metrics]") {
  const std::vector<std::vector<tests::Wish>> pair(5, {{2, .5}, {0, .5}}), one(5, {{1, .5}});
  const CoActivation together = metrics::co_activation(tests::routing_of<double>(3, pair).view());
  CHECK((together.share(0, 2) == 1.0 && together.share(2, 0) == 1.0));
  CHECK((together.share(0, 1) == 0.0 && together.share(1, 0) == 0.0));
  const CoActivation alone = metrics::co_activation(tests::routing_of<double>(3, one).view());
  CHECK(alone.pairs == Counts(9, 0));
  const CoActivation twice =
      metrics::co_activation(tests::routing_of<double>(2, {{{1, .5}, {0, .2}, {1, .1}}}).view());
  CHECK(twice.tokens == Counts{1, 1});
  CHECK(twice.pairs == Counts{0, 1, 1, 0});
}

TEST_CASE("co-activation: against counting by hand; calls add up", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    CoActivation sum;
    Counts pairs(static_cast<std::size_t>(experts * experts), 0);
    Counts users(static_cast<std::size_t>(experts), 0);
    for (index call = 0; call < 2; ++call) {
      auto c = tests::random_routing(random, tokens, experts, padded);
      if (padded && tokens > 1) {  // what stands behind padding is not read
        c.valid[1] = 0;
      }
      sum += metrics::co_activation(c.routing.view(), tests::in(c.valid));
      for (index t = 0; t < tokens; ++t) {
        const std::set<index> set = c.real(t) ? c.set(t) : std::set<index>{};
        for (const index i : set) {
          ++users[static_cast<std::size_t>(i)];
          for (const index j : set) {
            pairs[static_cast<std::size_t>(i * experts + j)] += i == j ? 0 : 1;
          }
        }
      }
    }
    CHECK(sum.tokens == users);
    CHECK(sum.pairs == pairs);
    sum += CoActivation{};
    CHECK(sum.pairs == pairs);
    CHECK_THROWS_AS(
        (sum += metrics::co_activation(tests::routing_of<double>(experts + 1, {}).view())),
        shape_error);
  });
}

}  // namespace
}  // namespace xmoe
