// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/sequence_balance.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::LoadBalance;
using loss::SequenceBalance;
using namespace loss::counting;
using tests::LossCase;
using Plain = SequenceBalance<AllPerClaim, loss::over::Scores>;

TEST_CASE("sequence balance: what holds for all losses", "[training]") {
  tests::check_loss_of(SequenceBalance<>{0.5f, 3}, {.tokens_move = false});
  tests::check_loss_of(SequenceBalance<FirstChoice, loss::over::SoftmaxOfLogits>{0.5f, 5},
                       {.tokens_move = false});
  tests::check_loss_of(SequenceBalance<>{0.5f, 100});  // one sequence: tokens move freely
}

TEST_CASE("sequence balance: golden rows", "[training]") {
  LossCase<double> c = tests::wave_case(2);
  CHECK(tests::within(c.value(Plain{1.f, 4}), 1.19984978, 1e-8));
  // halves: the choices {1,2} {0,3} and {7,0} {2,6}
  double want = 0.0;
  for (const auto& [token, ids] : {std::pair{0, std::vector<index>{1, 2, 0, 3}},
                                   std::pair{2, std::vector<index>{7, 0, 2, 6}}}) {
    for (const index e : ids) {
      want += 0.5 * 8.0 * 0.25 * 0.5 * (c.score(token, e) + c.score(token + 1, e));
    }
  }
  CHECK(tests::within(c.value(Plain{1.f, 2}), want, 1e-14));
  CHECK_FALSE(tests::within(want, 1.19984978, 1e-3));
}

TEST_CASE("sequence balance: the mean of the sequences' own terms", "[training]") {
  tests::Generator random(3);
  const tests::Ids chosen = tests::random_ids(random, 7, 5);
  LossCase<double> all(5, chosen);
  double mean = 0.0;
  std::vector<double> slopes;
  for (const auto& [begin, end] : {std::pair{0, 3}, std::pair{3, 6}, std::pair{6, 7}}) {
    LossCase<double> part(5, {chosen.begin() + begin, chosen.begin() + end});
    part.scores.assign(all.scores.begin() + begin * 5, all.scores.begin() + end * 5);
    mean += part.value(LoadBalance<AllPerClaim>{1.f}) / 3.0;
    for (const double g : part.dscores) {
      slopes.push_back(g / 3.0);
    }
  }
  CHECK(tests::within(all.value(Plain{1.f, 3}), mean, 1e-14));
  CHECK(tests::relative_error(all.dscores, slopes) < 1e-14);
  CHECK_FALSE(tests::within(all.value(LoadBalance<AllPerClaim>{1.f}), mean, 1e-3));  // twin
}

TEST_CASE("sequence balance: uniform in each sequence, collapsed in each", "[training]") {
  // Balanced over the call, collapsed within each sequence.
  LossCase<double> c(2, {{0}, {0}, {1}, {1}});
  c.scores = {1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0};
  CHECK(c.value(Plain{1.f, 2}) == 2.0);
  CHECK(c.value(Plain{1.f, 4}) == 1.0);
  CHECK(tests::within(c.value(Plain{1.f, 3}), 0.5 * (10.0 / 9.0 + 2.0),
                      1e-15));  // the last sequence is shorter
  c.valid = {1, 1, 0, 0};       // a sequence of padding: no term
  LossCase<double> padded(2, {{0}, {0}, {}, {}});
  padded.scores = c.scores;
  padded.valid = c.valid;
  CHECK(padded.value(Plain{1.f, 2}) == 2.0);
}

TEST_CASE("sequence balance: lengths that are none", "[training]") {
  LossCase<double> c(2, {{0}});
  CHECK(tests::message_of<value_error>([&] {
          c.value(Plain{1.f, 0});
        }) == "xmoe::loss::SequenceBalance: length is 0, must be at least 1");
}

}  // namespace
}  // namespace xmoe
