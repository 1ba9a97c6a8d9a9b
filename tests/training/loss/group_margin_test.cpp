// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/group_margin.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::GroupMargin;
using tests::LossCase;

TEST_CASE("group margin: what holds for all losses", "[training]") {
  tests::check_loss([](index, index experts) { return GroupMargin<>{0.5f, experts}; });
  tests::check_loss(
      [](index, index experts) {
        return GroupMargin<loss::over::SoftmaxOfLogits>{0.5f, experts % 2 == 0 ? 2 : 1};
      },
      {.experts_move = false});
}

TEST_CASE("group margin: golden figures", "[training]") {
  const LossCase<double> wave = tests::wave_case(2);
  const tests::Ids halves = {{1, 2}, {0, 3}, {7, 4}, {2, 3}};
  const tests::Ids quarters = {{1, 0}, {0, 1}, {7, 6}, {2, 3}};
  const double by_half[] = {0.0, 0.0, .08487891, .44637222};
  const double by_quarter[] = {.19250115, .06594924, .41093173, .44637222};
  LossCase<double> c(8, halves), d(8, quarters);
  c.scores = d.scores = wave.scores;
  double sum_half = 0.0, sum_quarter = 0.0;
  for (std::size_t t = 0; t < 4; ++t) {
    c.valid = d.valid = {0, 0, 0, 0};
    c.valid[t] = d.valid[t] = 1;
    CHECK(tests::within(c.value(GroupMargin<>{1.f, 2}), by_half[t], 1e-8));
    CHECK(tests::within(d.value(GroupMargin<>{1.f, 4}), by_quarter[t], 1e-8));
    sum_half += by_half[t];
    sum_quarter += by_quarter[t];
  }
  c.valid = d.valid = {};
  CHECK(tests::within(c.value(GroupMargin<>{1.f, 2}), sum_half / 4.0, 1e-8));
  CHECK(tests::within(d.value(GroupMargin<>{1.f, 4}), sum_quarter / 4.0, 1e-8));
  CHECK_FALSE(tests::within(d.value(GroupMargin<>{1.f, 2}), sum_quarter / 4.0, 1e-3));
}

TEST_CASE("group margin: slopes, ties, one group, no choice", "[training]") {
  LossCase<double> c(4, {{1, 0}});
  c.scores = {0.1, 0.4, 0.3, 0.2};
  CHECK(tests::within(c.value(GroupMargin<>{1.f, 2}), 0.3, 1e-15));
  CHECK(c.dscores == std::vector<double>{-2.0, 0.0, 1.0, 1.0});
  CHECK(c.value(GroupMargin<>{1.f, 1}) == 0.0);
  c.scores = {0.2, 0.4, 0.2, 0.2};
  CHECK(c.value(GroupMargin<>{1.f, 2}) == 0.0);
  CHECK(c.dscores == std::vector<double>(4, 0.0));
  LossCase<double> idle(4, {{}});
  CHECK(idle.value(GroupMargin<>{1.f, 2}) == 0.0);
}

TEST_CASE("group margin: groups that do not divide", "[training]") {
  LossCase<double> c(4, {{0}});
  CHECK(tests::message_of<value_error>([&] {
          c.value(GroupMargin<>{1.f, 3});
        }) == "xmoe::loss::GroupMargin: groups is 3, must divide the 4 experts");
  CHECK_FALSE(tests::message_of<value_error>([&] { c.value(GroupMargin<>{1.f, 0}); }).empty());
}

}  // namespace
}  // namespace xmoe
