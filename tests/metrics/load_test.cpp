// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/load.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::Balance;
using tests::within;
using Counts = std::vector<index>;

TEST_CASE("load: counts assignments; padding and placeholders are not there", "[metrics]") {
  const auto routing =
      tests::routing_of<double>(3, {{{0, .9}, {2, .1}}, {}, {{2, .5}, {2, .5}}, {{1, .7}}});
  const std::vector<std::uint8_t> valid = {1, 1, 0, 1}, wrong = {1, 1};
  CHECK(metrics::load(routing.view()).count == Counts{1, 1, 3});
  CHECK(metrics::load(routing.view(), tests::in(valid)).count == Counts{1, 1, 1});
  CHECK(metrics::load(routing.view()).tokens == 4);
  CHECK(metrics::load(routing.view(), tests::in(valid)).tokens == 3);
  CHECK(metrics::load(routing.view(), {}, 1).count == Counts{1, 3});
  CHECK_THROWS_AS(metrics::load(routing.view(), tests::in(wrong)), shape_error);

  metrics::Load sum;
  sum += metrics::load(routing.view(), tests::in(valid));
  sum += metrics::load(tests::routing_of<double>(3, {{{1, .5}}}).view());
  CHECK(sum.tokens == 4);
  CHECK(sum.count == Counts{1, 2, 1});
  sum += metrics::Load{};
  CHECK(sum.count == Counts{1, 2, 1});
  CHECK_THROWS_AS((sum += metrics::Load{1, {1, 2}}), shape_error);
}

TEST_CASE("balance: golden figures of 4 2 1 1", "[metrics]") {
  const Balance b = metrics::balance({4, 2, 1, 1});
  CHECK(b.cv_squared == 0.375);  // over n - 1 it were 0.5
  CHECK(b.max_to_mean == 2.0);
  CHECK(within(b.entropy, 1.213008, 5e-7));
  CHECK(within(b.evenness, 0.875, 1e-15));
  CHECK(within(b.gini, 0.3125, 1e-15));
  CHECK(within(b.perplexity, std::exp(1.75 * std::log(2.0)), 1e-14));
  CHECK(within(b.jain_index, 64.0 / 88.0, 1e-15));
  CHECK((b.experts == 4 && b.total == 8 && b.unused == 0));
  CHECK((b.load.least == 1.0 && b.load.median == 1.5 && b.load.most == 4.0));
  const Balance other = metrics::balance({1, 4, 1, 2});  // the order is nothing
  CHECK(other.gini == b.gini);
  CHECK(other.entropy == b.entropy);
  const Balance next = metrics::balance({4, 2, 2, 0});  // twin
  CHECK(next.unused == 1);
  CHECK(next.gini > b.gini);
  CHECK(next.entropy < b.entropy);
}

TEST_CASE("balance: uniform, collapsed, one expert, nothing", "[metrics]") {
  const Balance even = metrics::balance(Counts(8, 5));
  CHECK((even.cv_squared == 0.0 && even.max_to_mean == 1.0 && even.jain_index == 1.0));
  CHECK(within(even.gini, 0.0, 1e-15));
  CHECK(within(even.perplexity, 8.0, 1e-14));
  CHECK(within(even.evenness, 1.0, 1e-15));
  const Balance one = metrics::balance({0, 20, 0, 0});
  CHECK((one.cv_squared == 3.0 && one.max_to_mean == 4.0 && one.jain_index == 0.25));
  CHECK((one.gini == 0.75 && one.entropy == 0.0 && one.perplexity == 1.0 && one.evenness == 0.0));
  CHECK(one.unused == 3);
  const Balance single = metrics::balance({3});
  CHECK((single.cv_squared == 0.0 && single.max_to_mean == 1.0 && single.gini == 0.0));
  CHECK((single.perplexity == 1.0 && single.evenness == 1.0));
  for (const Counts& none : {Counts{}, Counts{0, 0}}) {
    const Balance b = metrics::balance(none);
    CHECK(b.unused == static_cast<index>(none.size()));
    for (const double v : {b.cv_squared, b.max_to_mean, b.gini, b.jain_index, b.entropy,
                           b.perplexity, b.evenness, b.load.most}) {
      CHECK(v == 0.0);
    }
  }
}

TEST_CASE("balance: against the formulas", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    const auto c = tests::random_routing(random, tokens, experts, padded);
    const metrics::Load load = metrics::load(c.routing.view(), tests::in(c.valid));
    std::vector<double> n(static_cast<std::size_t>(experts), 0.0);
    double total = 0.0, pairs = 0.0, variance = 0.0, entropy = 0.0;
    index real = 0;
    for (index t = 0; t < tokens; ++t) {
      real += c.real(t) ? 1 : 0;
      for (const tests::Wish& wish : c.of(t)) {
        n[static_cast<std::size_t>(wish.expert)] += 1.0;
        total += 1.0;
      }
    }
    CHECK(load.tokens == real);
    CHECK(tests::wide(load.count) == n);
    const Balance b = metrics::balance(load.count);
    if (total == 0.0) {
      CHECK(b.gini == 0.0);
      return;
    }
    const double e = static_cast<double>(experts), mean = total / e;
    for (const double i : n) {
      for (const double j : n) {
        pairs += std::abs(i - j);
      }
      variance += (i - mean) * (i - mean) / e;
      entropy -= i > 0.0 ? i / total * std::log(i / total) : 0.0;
    }
    CHECK(within(b.gini, pairs / (2.0 * e * e * mean), 1e-13));
    CHECK(within(b.cv_squared, variance / (mean * mean), 1e-13));
    CHECK(within(b.jain_index, 1.0 / (1.0 + b.cv_squared), 1e-13));
    CHECK(within(b.entropy, entropy, 1e-13));
    CHECK(within(b.max_to_mean, *std::max_element(n.begin(), n.end()) / mean, 1e-13));
    CHECK(b.unused == std::count(n.begin(), n.end(), 0.0));
    CHECK(metrics::load_quantile(load.count, 0.5) == b.load.median);
    CHECK(metrics::load_quantile(load.count, 1.0) == b.load.most);
  });
}

TEST_CASE("load: Jain's index at its ends", "[metrics]") {
  CHECK(metrics::jain_index({5, 5, 5, 5}) == 1.0);
  CHECK(metrics::jain_index({0, 20, 0, 0}) == 0.25);
  CHECK(metrics::jain_index({0, 0}) == 0.0);
  CHECK(metrics::jain_index({2, 1}) < 1.0);
}

TEST_CASE("load: the straggler is the busiest device", "[metrics]") {
  using Places = std::vector<std::int32_t>;
  const Counts load = {7, 1, 5, 3};
  CHECK(metrics::straggler_factor(load, Places{0, 0, 1, 1}, 2) == 1.0);  // 8 and 8
  CHECK(metrics::straggler_factor(load, Places{0, 1, 0, 1}, 2) == 1.5);  // 12 and 4
  CHECK(metrics::straggler_factor(load, Places{1, 1, 1, 1}, 2) == 2.0);
  CHECK(metrics::straggler_factor(load, Places{0, 1, 2, 3}, 4) ==
        metrics::balance(load).max_to_mean);
  CHECK(metrics::straggler_factor(load, Places{0, 0, 0, 0}, 1) == 1.0);
  CHECK(metrics::straggler_factor({0, 0}, Places{0, 1}, 2) == 0.0);
  CHECK(metrics::straggler_factor({}, Places{}, 0) == 0.0);
  CHECK_THROWS_AS(metrics::straggler_factor(load, Places{0, 1}, 2), shape_error);
  const Places outside = {0, 1, 2, 0};
  CHECK(tests::message_of<value_error>([&] { metrics::straggler_factor(load, outside, 2); }) ==
        "xmoe::metrics::straggler_factor: expert 2 lives on device 2, must be in 0 .. 1");
}

}  // namespace
}  // namespace xmoe
