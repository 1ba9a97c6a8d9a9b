// SPDX-License-Identifier: Apache-2.0
// The oracle against the published figures of XMoE: choice, capacity, losses.
#include "golden/wave_figures.hpp"
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

using namespace reference;
using reference::index;
using tests::half_unit;
using tests::within;

Setup small_setup(double threshold, double factor) {
  Setup s = golden::given_logits(0, 4);
  s.router.threshold = threshold;
  s.capacity.limited = true;
  s.capacity.factor = factor;
  return s;
}
Matrix small_tokens() { return golden::logarithms(golden::small_probabilities()); }

std::vector<std::vector<index>> chosen_of(const Forward& f) {
  std::vector<std::vector<index>> lists;
  for (const auto& row : f.chosen) {
    lists.push_back(outputs_of(row));
  }
  return lists;
}

TEST_CASE("oracle: the choice by threshold", "[golden][oracle]") {
  using L = golden::Lists;
  const std::vector<std::pair<double, L>> cases = {
      {-1.0, {{0}, {1}, {0}, {3}}},
      {0.0, {{0}, {1}, {0}, {3}}},
      {0.6, {{0, 1}, {1}, {0, 1, 2}, {3}}},
      {0.85, {{0, 1, 2}, {1, 2, 0}, {0, 1, 2, 3}, {3}}},
      {1.0, {{0, 1, 2, 3}, {1, 2, 0, 3}, {0, 1, 2, 3}, {3, 2, 1, 0}}}};
  for (const auto& [threshold, want] : cases) {
    INFO("threshold " << threshold);
    const Forward f = route(small_setup(threshold, 4), small_tokens());
    CHECK(chosen_of(f) == want);
    for (const auto& row : f.chosen) {
      for (const Claim& c : row) {
        CHECK(within(c.weight, golden::small_probabilities()(c.token, c.output), 1e-14));
      }
    }
  }
}

TEST_CASE("oracle: capacity and its orders", "[golden][oracle]") {
  using L = golden::Lists;
  using P = Priority;
  struct Case {
    double threshold, factor;
    P priority;
    L kept;
  };
  const std::vector<Case> cases = {
      {0.85, 1, P::rank_then_probability, {{0}, {1}, {1}, {3}}},
      {0.85, 1, P::probability, {{0}, {1}, {2}, {3}}},
      {0.85, 1, P::rank_then_token, {{0}, {1}, {1}, {3}}},
      {0.85, 2, P::rank_then_probability, {{0, 2}, {1, 2}, {1, 2}, {3, 2}}},
      {0.85, 2, P::probability, {{0, 2}, {1, 2}, {2, 1}, {3, 2}}},
      {0.85, 2, P::rank_then_token, {{0, 2}, {1, 0}, {1, 0}, {3, 2}}},
      {0.85, 4, P::rank_then_probability, {{0, 2, 1}, {1, 2, 0}, {1, 2, 0}, {3, 2}}},
      {0.6, 1, P::rank_then_probability, {{0}, {1}, {2}, {3}}},
      {-1, 1, P::rank_then_probability, {{0}, {1}, {}, {3}}}};
  for (const Case& c : cases) {
    INFO("threshold " << c.threshold << " factor " << c.factor);
    Setup s = small_setup(c.threshold, c.factor);
    s.capacity.priority = c.priority;
    const Forward f = route(s, small_tokens());
    CHECK(f.capacity == static_cast<index>(c.factor));
    CHECK(golden::kept_lists(s, f) == c.kept);
  }
}

TEST_CASE("oracle: measurements", "[golden][oracle]") {
  Setup s = small_setup(0.85, 2);
  Statistics m = statistics(s, route(s, small_tokens()));
  CHECK(within(m.wanted_per_token, 2.75, 1e-15));
  CHECK(m.claims == Vector{3, 3, 3, 2});
  CHECK(within(m.imbalance, 0.7071067812, half_unit(10)));
  CHECK(within(m.top_score, 0.58, 1e-14));
  CHECK(within(m.kept_per_token, 2.0, 1e-15));
  CHECK(within(m.tokens_not_full, 0.5, 1e-15));
  CHECK(m.experts_not_full == 0.0);
  CHECK(m.first_dropped == 0.0);
  s = small_setup(0.85, 1);
  m = statistics(s, route(s, small_tokens()));
  CHECK(within(m.kept_per_token, 1.0, 1e-15));
  CHECK(within(m.tokens_not_full, 0.75, 1e-15));
  CHECK(m.experts_not_full == 0.0);
  CHECK(within(m.first_dropped, 0.25, 1e-15));
}

TEST_CASE("oracle: balance loss and its gradient", "[golden][oracle]") {
  for (double threshold : {-1.0, 0.6, 0.85, 1.0}) {
    Setup s = small_setup(threshold, 1);
    s.balance = {{}};
    CHECK(within(losses(s, route(s, small_tokens())), 1.075, 1e-13));
  }
  Setup s = small_setup(0.85, 4);
  s.balance = {{.counted = Counted::all_claims}};
  CHECK(within(losses(s, route(s, small_tokens())), 0.9745454545, half_unit(10)));
  s.router.threshold = 0.6;
  CHECK(within(losses(s, route(s, small_tokens())), 1.04, 1e-13));
  s.balance = {{}};
  const Matrix want =
      golden::matrix(4, 4,
                     {0.08125, -0.021875, -0.050625, -0.00875, 0.0275, 0.0155, -0.045, 0.002,  //
                      0.069, -0.0056, -0.0594, -0.004, 0.00515, 0.000225, -0.012125, 0.00675});
  const Forward f = route(s, small_tokens());
  const Matrix got = router_gradient(s, small_tokens(), f, Matrix(4, 4));
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(within(got.values[i], want.values[i], 1e-14));
  }
}

TEST_CASE("oracle: exact boundary and saturation", "[golden][oracle]") {
  const Matrix zero(1, 4);
  const std::vector<std::pair<double, index>> cases = {{0.25, 1}, {0.26, 2}, {0.5, 2}, {0.51, 3},
                                                       {0.75, 3}, {0.76, 4}, {1.0, 4}};
  for (const auto& [threshold, count] : cases) {
    const Forward f = route(small_setup(threshold, 4), zero);
    REQUIRE(static_cast<index>(f.chosen[0].size()) == count);
    for (index r = 0; r < count; ++r) {
      CHECK(f.chosen[0][static_cast<std::size_t>(r)].output == r);
    }
  }
  const Matrix saturated = golden::matrix(1, 4, {200, 0, 0, 0});
  CHECK(route(small_setup(1.0, 4), saturated).chosen[0].size() == 1);
}

TEST_CASE("oracle: placeholder", "[golden][oracle]") {
  const Matrix x = golden::logarithms(golden::placeholder_probabilities());
  struct Case {
    double threshold, factor;
    std::vector<std::vector<std::pair<index, double>>> kept;
    double skip, want, none;
  };
  using K = std::vector<std::vector<std::pair<index, double>>>;
  const std::vector<Case> cases = {
      {0.7, 4, K{{{0, .20}}, {{0, .72}}, {}, {{1, .35}, {3, .20}}}, 0.75, 1.0, 0.25},
      {0.7, 1, K{{}, {{0, .72}}, {}, {{1, .35}, {3, .20}}}, 0.75, 1.0, 0.5},
      {0.9 - 1e-6, 4,  // at 0.9 itself rounding decides: 0.90 and 0.60 + 0.20 + 0.10 lie on it
       K{{{0, .20}, {1, .10}}, {{0, .72}, {1, .13}, {2, .06}}, {}, {{1, .35}, {3, .20}, {0, .10}}},
       0.75, 2.0, 0.25},
      {-1, 4, K{{}, {{0, .72}}, {}, {{1, .35}}}, 0.5, 0.5, 0.5}};
  for (const Case& c : cases) {
    INFO("threshold " << c.threshold << " factor " << c.factor);
    Setup s = golden::given_logits(0, 5, true);
    s.router.threshold = c.threshold;
    s.capacity.limited = true;
    s.capacity.factor = c.factor;
    s.balance = {{}};
    const Forward f = route(s, x);
    for (std::size_t t = 0; t < 4; ++t) {
      std::size_t place = 0;
      for (const Claim& claim : f.chosen[t]) {
        if (claim.kept) {
          REQUIRE(place < c.kept[t].size());
          CHECK(claim.expert == c.kept[t][place].first);
          CHECK(within(claim.weight, c.kept[t][place].second, 1e-14));
          ++place;
        }
      }
      CHECK(place == c.kept[t].size());
    }
    const Statistics m = statistics(s, f);
    CHECK(within(m.placeholder_share, c.skip, 1e-15));
    CHECK(within(m.wanted_per_token, c.want, 1e-15));
    CHECK(within(m.tokens_without, c.none, 1e-15));
    CHECK(within(losses(s, f), 1.678125, 1e-12));
  }
}

TEST_CASE("oracle: sixteen tokens, eight experts", "[golden][oracle]") {
  const Matrix z = golden::wave_logits(16, 8);
  Setup s = golden::given_logits(0, 8);
  s.router.threshold = 0.7;
  s.balance = {{}};
  Forward f = route(s, z);
  const Vector first = {0.0793279462, 0.3970787788, 0.1832883973, 0.0827335522,
                        0.0068595796, 0.0069207591, 0.0938418257, 0.1499491611};
  for (index e = 0; e < 8; ++e) {
    CHECK(within(f.scores(0, e), at(first, e), half_unit(10)));
  }
  CHECK(within(losses(s, f), 1.0936831773, half_unit(10)));
  s.balance = {{.counted = Counted::all_claims}};
  CHECK(within(losses(s, f), 1.0046325143, half_unit(10)));
  const auto choices = golden::wave_choices();
  for (std::size_t t = 0; t < 16; ++t) {
    REQUIRE(f.chosen[t].size() == choices[t].size());
    CHECK(static_cast<index>(choices[t].size()) == golden::wave_counts_low()[t]);
    for (std::size_t r = 0; r < choices[t].size(); ++r) {
      CHECK(f.chosen[t][r].output == choices[t][r].first);
      CHECK(within(f.chosen[t][r].weight, choices[t][r].second, half_unit(6)));
    }
  }
  CHECK(statistics(s, f).claims == Vector{6, 5, 5, 6, 4, 5, 4, 5});
  for (const golden::WaveCapacity& c : golden::wave_capacities()) {
    INFO("factor " << c.factor << " priority " << static_cast<int>(c.priority));
    Setup limited = s;
    limited.capacity = {true, c.factor, 1, c.priority, {}};
    f = route(limited, z);
    CHECK(f.capacity == c.capacity);
    CHECK(golden::kept_lists(limited, f) == c.kept);
    double sum = 0.0;
    for (const auto& row : f.chosen) {
      for (const Claim& claim : row) {
        sum += claim.kept ? claim.weight : 0.0;
      }
    }
    CHECK((c.weight == 0.0 || within(sum, c.weight, half_unit(10))));
  }
}

TEST_CASE("oracle: capacity arithmetic", "[golden][oracle]") {
  CHECK(capacity_of(16384, 64, 8, 4) == 2048);
  CHECK(capacity_of(16384, 8, 1, 4) == 2048);
  CHECK(capacity_of(16384, 128, 8, 4) == 1024);
  CHECK(capacity_of(16384, 128, 4, 4) == 512);
  CHECK(capacity_of(100, 3, 1, 4) == 34);
  CHECK(capacity_of(7, 4, 1.25, 1) == 3);
  CHECK(capacity_of(4, 4, 1, 4) == 4);
  CHECK(capacity_of(10, 8, 8, 4) == 10);
  CHECK(capacity_of(3, 8, 1, 4) == 3);
}

}  // namespace
