// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/threshold.hpp>

#include <set>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using xmoe::select::Threshold;
using Ids = std::vector<index>;

TEMPLATE_TEST_CASE("threshold: the shortest prefix, strictly", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> p = {R(0.25), R(0.5), R(0.125), R(0.125)};  // exact sums
  CHECK(chosen_by(Threshold{0.4f}, p) == Ids{1});
  CHECK(chosen_by(Threshold{0.5f}, p) == Ids{1});  // 0.5 before the second: not less than 0.5
  CHECK(chosen_by(Threshold{0.5000001f}, p) == Ids{1, 0});
  CHECK(chosen_by(Threshold{0.75f}, p) == Ids{1, 0});
  CHECK(chosen_by(Threshold{0.875f}, p) == Ids{1, 0, 2});
  CHECK(chosen_by(Threshold{0.9f}, p) == Ids{1, 0, 2, 3});
  CHECK(chosen_by(Threshold{0.9f}, p) != Ids{1, 0, 3, 2});  // the tie: lower index first
}

TEMPLATE_TEST_CASE("threshold: the ends", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> p = {R(0.25), R(0.5), R(0.125), R(0.125)};
  for (const float t : {-1.f, 0.f, 1e-30f, 0.1f}) {
    CAPTURE(t);
    CHECK(chosen_by(Threshold{t}, p) == Ids{1});
  }
  for (const float t : {1.f, 1.5f, 1e30f, std::numeric_limits<float>::infinity()}) {
    CAPTURE(t);
    CHECK(chosen_by(Threshold{t}, p) == Ids{1, 0, 2, 3});
  }
  // Saturated: the mass before the second expert is exactly 1.
  CHECK(chosen_by<R>(Threshold{1.f}, {0, 1, 0, 0}) == Ids{1});
  CHECK(chosen_by<R>(Threshold{1.5f}, {0, 1, 0, 0}) == Ids{1, 0, 2, 3});
  CHECK(chosen_by<R>(Threshold{0.9f}, {1}) == Ids{0});
  // Rounding of the sum misses nobody: 64 probabilities whose float sum lies below 1.
  const std::vector<R> thin(64, R(1) / R(64) - R(1e-6));
  CHECK(chosen_by(Threshold{1.f}, thin).size() == 64);
}

TEMPLATE_TEST_CASE("threshold: ties count the lowest ids", "[router][select]", float, double) {
  using R = TestType;
  for (const index experts : {1, 2, 8, 64}) {  // 1/E is exact
    const std::vector<R> p(static_cast<std::size_t>(experts), R(1) / static_cast<R>(experts));
    for (const float t : {0.f, 0.25f, 0.5f, 0.9f, 1.f}) {
      const Ids got = chosen_by(Threshold{t}, p);
      const index want = std::max<index>(
          1, static_cast<index>(std::ceil(static_cast<double>(t) * static_cast<double>(experts))));
      INFO(experts << " experts, threshold " << t);
      REQUIRE(static_cast<index>(got.size()) == want);
      for (index i = 0; i < want; ++i) {
        CHECK(got[static_cast<std::size_t>(i)] == i);
      }
    }
  }
}

TEMPLATE_TEST_CASE("threshold: a limit of experts", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> p = {R(0.25), R(0.5), R(0.125), R(0.125)};
  CHECK(chosen_by(Threshold{1.f, 2}, p) == Ids{1, 0});
  CHECK(chosen_by(Threshold{2.f, 3}, p) == Ids{1, 0, 2});
  CHECK(chosen_by(Threshold{2.f, 9}, p) == Ids{1, 0, 2, 3});
  CHECK(chosen_by(Threshold{0.5f, 2}, p) == Ids{1});
  CHECK(Threshold{2.f, 3}.max_assignments(5, 8) == 15);
  CHECK(Threshold{2.f, 0}.max_assignments(5, 8) == 40);
  CHECK(Threshold{0.f, 0}.max_assignments(5, 8) == 5);
  CHECK(Threshold{0.5f, 0}.max_assignments_in_any_order(5, 8) == 40);
}

TEMPLATE_TEST_CASE("threshold: the room suffices for any softmax", "[router][select]", float,
                   double) {
  using R = TestType;
  tests::Generator random(5);
  for (const index experts : {2, 3, 7, 8, 60, 64}) {
    for (int i = 0; i < 50; ++i) {
      const double spread = 0.02 * static_cast<double>(i);
      const auto z = tests::narrow<R>(tests::normals(random, experts, spread));
      const std::vector<R> p = tests::scores_of(xmoe::score::Softmax{}, z);
      const float t = static_cast<float>(random.uniform());
      const Threshold select{t};
      const Ids got = chosen_by(select, p);
      // Cut short by the room and not by the mass?
      R before = R(0);
      for (const index e : got) {
        before += p[static_cast<std::size_t>(e)];
      }
      INFO(experts << " experts, threshold " << t << ", " << got.size() << " chosen");
      CHECK((before >= static_cast<R>(t) || static_cast<index>(got.size()) == experts));
      CHECK(
          (got.size() < 2 || before - p[static_cast<std::size_t>(got.back())] < static_cast<R>(t)));
    }
  }
}

TEMPLATE_TEST_CASE("threshold: hard rows stay in range", "[router][select]", float, double) {
  for (const index experts : {1, 2, 3, 7, 60}) {
    for (const auto& row : tests::hard_rows<TestType>(experts)) {
      for (const float t : {0.f, 0.9f, 2.f}) {
        INFO(experts << " experts, threshold " << t << ": " << row.name);
        const Ids got = chosen_by(Threshold{t}, row.values);
        CHECK(got.empty() == (row.name == "all -Inf"));
        const std::set<index> distinct(got.begin(), got.end());
        CHECK(distinct.size() == got.size());
        CHECK((got.empty() || (*distinct.begin() >= 0 && *distinct.rbegin() < experts)));
      }
    }
  }
}

TEST_CASE("threshold: figures of the inclusive one", "[router][select]") {
  const auto chosen = [](float p) { return wave::choices(Threshold{p, 0, true}, wave::softmax); };
  CHECK(chosen(0.4f) == wave::Choices{{1, 2}, {0, 3}, {7}, {2}});
  CHECK(chosen(0.5f) == wave::Choices{{1, 2}, {0, 3, 5}, {7}, {2}});
  CHECK(chosen(0.7f) == wave::Choices{{1, 2, 7}, {0, 3, 5, 1}, {7, 0}, {2, 6}});
}

TEMPLATE_TEST_CASE("threshold: inclusive, and a least number", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> flat(8, R(1) / R(8));
  CHECK(chosen_by(Threshold{0.5f}, flat).size() == 4);
  CHECK(chosen_by(Threshold{0.5f, 0, true}, flat).size() == 5);
  CHECK(chosen_by(Threshold{0.5f, 2, true}, flat).size() == 2);
  CHECK(chosen_by<R>(Threshold{1.f, 0, true}, {0, 1, 0, 0}) == Ids{1, 0, 2, 3});
  CHECK(chosen_by(Threshold{0.f, 0, true}, flat) == Ids{0});
  CHECK(chosen_by(Threshold{0.f, 0, false, 3}, flat) == Ids{0, 1, 2});
  CHECK(chosen_by(Threshold{0.5f, 0, false, 3}, flat) == Ids{0, 1, 2, 3});
  CHECK(chosen_by(Threshold{0.f, 0, false, 20}, flat).size() == 8);
  CHECK(Threshold{0.f, 0, false, 3}.max_assignments(2, 8) == 6);
}

TEST_CASE("threshold: grows with the mass; a constant added to logits changes nothing",
          "[router][select]") {
  tests::Generator random(6);
  for (int i = 0; i < 200; ++i) {
    const index experts = 1 + random.below(40);
    std::vector<double> z = tests::normals(random, experts);
    const auto low = static_cast<float>(random.uniform());
    const auto high = low + (1.f - low) * static_cast<float>(random.uniform());
    const auto pick = [&](float t) {
      return chosen_by(Threshold{t, 0, i % 2 == 0}, tests::scores_of(score::Softmax{}, z));
    };
    const Ids few = pick(low), many = pick(high);
    INFO("case " << i << ", thresholds " << low << ", " << high);
    REQUIRE(few.size() <= many.size());
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
    for (double& v : z) {
      v -= 2.25;
    }
    CHECK(pick(low) == few);
  }
}

TEST_CASE("threshold: errors", "[router][select]") {
  const auto text = [](Threshold select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({0.9f, -2}) ==
        "xmoe::select::Threshold: min_experts is 1, max_experts is -2; need 1 <= min_experts <= "
        "max_experts, or max_experts 0");
  CHECK(!text({0.9f, 2, false, 3}).empty());
  CHECK(!text({0.9f, 0, false, 0}).empty());
  CHECK(text({std::numeric_limits<float>::quiet_NaN(), 0}) ==
        "xmoe::select::Threshold: threshold is nan, must be a number");
  CHECK(text({-3.f, 0}).empty());
  CHECK(text({}).empty());
}

}  // namespace
}  // namespace xmoe
