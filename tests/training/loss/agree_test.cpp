// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/agree.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using tests::LossCase;
using Agree = loss::Agree<loss::over::Scores, double>;
using Divergence = loss::Imitate<loss::measure::KullbackLeibler, loss::over::Scores, double>;

TEST_CASE("agree: what holds for all losses", "[training]") {
  std::vector<double> q;
  const tests::LossTraits fixed = {.tokens_move = false, .experts_move = false};
  const auto target = [&](index tokens, index experts) {
    tests::Generator random(12);
    q.clear();
    for (index t = 0; t < tokens; ++t) {
      for (const double v : reference::softmax(tests::normals(random, experts))) {
        q.push_back(v);
      }
    }
    return MatrixView<const double>(q.data(), tokens, experts);
  };
  tests::check_loss([&](index t, index e) { return Agree{0.5f, target(t, e)}; }, fixed);
  tests::check_loss(
      [&](index t, index e) {
        return loss::Agree<loss::over::SoftmaxOfLogits, double>{0.5f, target(t, e)};
      },
      fixed);
}

TEST_CASE("agree: golden figure", "[training]") {
  const LossCase<double> wave = tests::wave_case(1);
  const std::vector<double> first(wave.scores.begin(), wave.scores.begin() + 8);
  const std::vector<double> second(wave.scores.begin() + 8, wave.scores.begin() + 16);
  LossCase<double> p(8, {{0}}), q(8, {{0}});
  p.scores = first;
  q.scores = second;
  const MatrixView<const double> to_first(first.data(), 1, 8), to_second(second.data(), 1, 8);
  CHECK(tests::within(p.value(Agree{1.f, to_second}), 1.34382205, 1e-8));
  CHECK(tests::within(q.value(Agree{1.f, to_first}), 1.34382205, 1e-8));
  // the mean of both directions, neither of them alone
  const double forth = p.value(Divergence{1.f, to_second});
  const double back = q.value(Divergence{1.f, to_first});
  CHECK(tests::within(0.5 * (forth + back), 1.34382205, 1e-8));
  CHECK_FALSE(tests::within(forth, 1.34382205, 1e-3));
  CHECK(p.value(Agree{1.f, to_first}) == 0.0);
  CHECK(p.dscores == std::vector<double>(8, 0.0));
}

TEST_CASE("agree: probabilities of 0 stay finite", "[training]") {
  LossCase<double> c(2, {{0}});
  c.scores = {1.0, 0.0};
  const double q[] = {0.0, 1.0};
  const double value = c.value(Agree{1.f, {q, 1, 2}});
  CHECK(is_finite(value));
  CHECK(value > 10.0);
  CHECK(is_finite(c.dscores[0] + c.dscores[1]));
}

}  // namespace
}  // namespace xmoe
