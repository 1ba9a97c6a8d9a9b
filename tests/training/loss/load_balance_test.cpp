// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/load_balance.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::LoadBalance;
using namespace loss::counting;
using tests::Ids;
using tests::LossCase;
using SecondPlace = LoadBalance<SecondChoice, loss::over::ScoresWithoutFirst>;

TEST_CASE("load balance: balanced and collapsed", "[training]") {
  for (const index experts : {1, 2, 3, 8, 60}) {
    const double count = static_cast<double>(experts);
    Ids balanced, collapsed;
    for (index t = 0; t < 2 * experts; ++t) {
      balanced.push_back({t % experts});
      collapsed.push_back({0});
    }
    LossCase<double> even(experts, balanced);
    even.logits.assign(even.logits.size(), 0.0);
    even.softmax();
    const double sum_error = 1e-15 + 2.3e-16 * 2.0 * count * count;  // T E additions in a row
    INFO(experts << " experts");
    CHECK(tests::within(even.value(LoadBalance<>{1.f}), 1.0, sum_error));
    CHECK(tests::within(even.value(LoadBalance<AllPerToken>{1.f}), 1.0, sum_error));
    LossCase<double> one(experts, collapsed);
    for (index t = 0; t < 2 * experts; ++t) {
      one.logits[static_cast<std::size_t>(t * experts)] = 100.0;
    }
    one.softmax();
    CHECK(tests::within(one.value(LoadBalance<>{1.f}), count, count * sum_error));
    CHECK(tests::within(one.value(LoadBalance<>{0.25f}), 0.25 * count, count * sum_error));
    CHECK((experts == 1 || !tests::within(one.value(LoadBalance<>{1.f}), 1.0, 0.5)));
  }
}

TEST_CASE("load balance: the conventions of counting", "[training]") {
  // two choices a token, evenly spread over four experts, uniform probabilities
  LossCase<double> c(4, {{0, 1}, {1, 2}, {2, 3}, {3, 0}});
  c.logits.assign(c.logits.size(), 0.0);
  c.softmax();
  CHECK(tests::within(c.value(LoadBalance<FirstChoice>{1.f}), 1.0, 1e-15));
  CHECK(tests::within(c.value(LoadBalance<AllPerToken>{1.f}), 2.0, 1e-15));  // = k
  CHECK(tests::within(c.value(LoadBalance<AllPerClaim>{1.f}), 1.0, 1e-15));
}

TEST_CASE("load balance: by hand", "[training]") {
  LossCase<double> c(2, {{0}, {0, 1}});
  c.scores = {0.75, 0.25, 0.5, 0.5};                             // P = 5/8, 3/8
  CHECK(c.value(LoadBalance<FirstChoice>{1.f}) == 2.0 * 0.625);  // f = 1, 0
  CHECK(c.value(LoadBalance<AllPerToken>{1.f}) == 2.0 * (0.625 + 0.5 * 0.375));
  CHECK(tests::within(c.value(LoadBalance<AllPerClaim>{1.f}),
                      2.0 * (2.0 / 3 * 0.625 + 1.0 / 3 * 0.375), 1e-15));
  c.value(LoadBalance<AllPerToken>{1.f});  // dP_te += E f_e / T
  CHECK(c.dscores == std::vector<double>{1.0, 0.5, 1.0, 0.5});
  CHECK(c.dlogits == std::vector<double>(4, 0.0));
}

TEST_CASE("load balance: which rows are averaged", "[training]") {
  using Normalized = LoadBalance<FirstChoice, loss::over::NormalizedScores>;
  using OfLogits = LoadBalance<FirstChoice, loss::over::SoftmaxOfLogits>;
  LossCase<double> c(2, {{0}, {1}});
  c.scores = {0.2, 0.6, 0.9, 0.1};
  c.logits = {0.0, std::log(3.0), 0.0, 0.0};
  CHECK(tests::within(c.value(Normalized{1.f}), 0.5 * (0.25 + 0.9 + 0.75 + 0.1), 1e-15));
  CHECK(tests::within(c.value(OfLogits{1.f}), 0.5 * (0.25 + 0.5 + 0.75 + 0.5), 1e-15));
  c.scores = {0.0, 0.0, 0.9, 0.1};  // a row of zeros counts as zeros, and has no gradient
  CHECK(tests::within(c.value(Normalized{1.f}), 0.5 * (0.9 + 0.1), 1e-15));
  CHECK(c.dscores[0] == 0.0);
  CHECK(c.dscores[1] == 0.0);
  // logits far apart, and masked ones
  c.logits = {1e4, -1e4, -std::numeric_limits<double>::infinity(), 0.0};
  CHECK(c.value(OfLogits{1.f}) == 1.0);
}

TEST_CASE("load balance: no claims, no tokens", "[training]") {
  LossCase<double> idle(3, {{}, {}});
  idle.scores.assign(6, 1.0 / 3.0);
  CHECK(idle.value(LoadBalance<>{1.f}) == 0.0);
  CHECK(idle.value(LoadBalance<AllPerClaim>{1.f}) == 0.0);
  CHECK(idle.dscores == std::vector<double>(6, 0.0));
  LossCase<double> none(3, {});
  CHECK(none.value(LoadBalance<>{1.f}) == 0.0);
}

TEST_CASE("load balance: padding counts nowhere", "[training]") {
  LossCase<float> c(3, {{0, 1}, {}, {2}, {}});
  LossCase<float> compact(3, {{0, 1}, {2}});
  c.valid = {1, 0, 1, 0};
  for (index e = 0; e < 3; ++e) {
    for (const index t : {0, 2}) {
      compact.score(t / 2, e) = c.score(t, e);
      compact.logit(t / 2, e) = c.logit(t, e);
    }
    for (const index t : {1, 3}) {
      c.score(t, e) = c.logit(t, e) = std::numeric_limits<float>::quiet_NaN();
    }
  }
  CHECK(c.value(LoadBalance<>{1.f}) == compact.value(LoadBalance<>{1.f}));
  for (index e = 0; e < 3; ++e) {
    CHECK(c.dscores[static_cast<std::size_t>(e)] == compact.dscores[static_cast<std::size_t>(e)]);
    CHECK(c.dscores[static_cast<std::size_t>(3 + e)] == 0.f);
    CHECK(c.dscores[static_cast<std::size_t>(6 + e)] ==
          compact.dscores[static_cast<std::size_t>(3 + e)]);
  }
  c.valid = {1, 1, 1, 1};  // twin
  CHECK_FALSE(c.value(LoadBalance<>{1.f}) == compact.value(LoadBalance<>{1.f}));
}

TEST_CASE("load balance: golden figures", "[training]") {
  LossCase<double> c = tests::wave_case(2);
  CHECK(tests::within(c.value(LoadBalance<FirstChoice>{1.f}), 1.27873986, 1e-8));
  CHECK(tests::within(c.value(LoadBalance<AllPerClaim>{1.f}), 1.19984978, 1e-8));
  CHECK(tests::within(c.value(LoadBalance<AllPerToken>{1.f}), 2.39969956, 1e-8));
  LossCase<double> relu = tests::relu_wave_case();
  using Guarded = loss::over::GuardedScores;
  // the published code adds 1e-5 to the number of choices, which are 16
  const double balance = relu.value(LoadBalance<AllPerClaim, Guarded>{1.f});
  CHECK(tests::within(balance * 16.0 / 16.00001, 1.06047058, 1e-8));
  CHECK(tests::within(balance, 1.06047058, 1e-6));
  CHECK_FALSE(tests::within(relu.value(LoadBalance<FirstChoice, Guarded>{1.f}), 1.06047058, 1e-3));
}

TEST_CASE("load balance: second choices", "[training]") {
  tests::check_loss_of(SecondPlace{0.5f});
  LossCase<double> c(4, {{0, 1}, {1, 2}, {2, 3}, {3, 0}});
  c.scores.assign(16, 0.25);
  CHECK(tests::within(c.value(SecondPlace{1.f}), 1.0, 1e-15));
  LossCase<double> one(3, {{0, 2}, {0, 2, 1}, {1}});
  one.scores = {0.5, 0.125, 0.375, 0.5, 0.25, 0.25, 0.25, 0.5, 0.25};
  // f = (0, 0, 2/3), P_2 = mean of 3/4, 1/2, 1/2
  CHECK(tests::within(one.value(SecondPlace{1.f}), 3.0 * (2.0 / 3.0) * (1.75 / 3.0), 1e-15));
  CHECK_FALSE(tests::within(one.value(SecondPlace{1.f}), one.value(LoadBalance<>{1.f}), 1e-3));
  // golden rows: second choices 2, 3, 0, 6
  LossCase<double> wave = tests::wave_case(2);
  double want = 0.0;
  for (const index e : {2, 3, 0, 6}) {
    for (index t = 0; t < 4; ++t) {
      const index first = std::vector<index>{1, 0, 7, 2}[static_cast<std::size_t>(t)];
      want += e == first ? 0.0 : 0.25 * 8.0 / 4.0 * wave.score(t, e) / (1.0 - wave.score(t, first));
    }
  }
  CHECK(tests::within(wave.value(SecondPlace{1.f}), want, 1e-14));
}

}  // namespace
}  // namespace xmoe
