// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/over.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using tests::LossCase;
namespace over = loss::over;

/// The sum of weights times rows: what a loss makes of an Over, and nothing more.
template <class Over>
struct Weighted {
  float coefficient = 1.f;
  std::vector<double> weight;  ///< [E]

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    double value = 0.0;
    std::vector<R> slope;
    for (const double w : weight) {
      slope.push_back(static_cast<R>(w));
    }
    over::each_row<Over>(view, [&](index t, VectorView<const R> p) {
      for (index e = 0; e < p.size(); ++e) {
        value += weight[static_cast<std::size_t>(e)] * static_cast<double>(p[e]);
      }
      Over::row_backward(view, t, p, VectorView<const R>{slope.data(), p.size()}, dscores, dlogits);
    });
    return value;
  }
};
template <class Over>
std::vector<double> row(LossCase<double> c) {
  std::vector<double> p;
  for (index e = 0; e < c.experts; ++e) {
    Weighted<Over> one;
    one.weight.assign(static_cast<std::size_t>(c.experts), 0.0);
    one.weight[static_cast<std::size_t>(e)] = 1.0;
    p.push_back(c.value(one));
  }
  return p;
}

TEMPLATE_TEST_CASE("rows of losses: gradients", "[training]", over::Scores, over::NormalizedScores,
                   over::GuardedScores, over::ScoresWithoutFirst, over::SoftmaxOfLogits,
                   over::SoftmaxOfPicked, over::Logits) {
  tests::Generator random(5);
  for (const index experts : {1, 2, 7}) {
    tests::Ids chosen = tests::random_ids(random, 5, experts);
    chosen[2].clear();
    LossCase<double> c(experts, chosen);
    for (double& s : c.scores) {
      s *= 3.0;  // rows that are no probabilities
    }
    tests::check_loss_gradient(c, Weighted<TestType>{1.f, tests::normals(random, experts)});
  }
}

TEST_CASE("rows of losses: by hand", "[training]") {
  LossCase<double> c(3, {{2, 0}});
  c.scores = {0.5, 0.25, 1.25};
  c.logits = {0.0, std::log(2.0), std::log(3.0)};
  CHECK(row<over::Scores>(c) == c.scores);
  CHECK(row<over::Logits>(c) == c.logits);
  CHECK(row<over::NormalizedScores>(c) == std::vector<double>{0.25, 0.125, 0.625});
  CHECK(tests::relative_error(row<over::GuardedScores>(c),
                              {0.5 / 2.00001, 0.25 / 2.00001, 1.25 / 2.00001}) < 1e-15);
  CHECK(tests::relative_error(row<over::ScoresWithoutFirst>(c), {2.0 / 3.0, 1.0 / 3.0, 0.0}) <
        1e-15);
  CHECK(tests::relative_error(row<over::SoftmaxOfLogits>(c), {1.0 / 6, 2.0 / 6, 3.0 / 6}) < 1e-15);
  CHECK(tests::relative_error(row<over::SoftmaxOfPicked>(c), {0.25, 0.0, 0.75}) < 1e-15);
}

TEST_CASE("rows of losses: nothing to divide by", "[training]") {
  LossCase<double> c(2, {{}});
  c.scores = {0.0, 0.0};
  const std::vector<double> zeros = {0.0, 0.0};
  CHECK(row<over::NormalizedScores>(c) == zeros);
  CHECK(row<over::GuardedScores>(c) == zeros);
  CHECK(row<over::ScoresWithoutFirst>(c) == zeros);
  CHECK(row<over::SoftmaxOfPicked>(c) == zeros);
  LossCase<double> single(1, {{0}});
  CHECK(row<over::ScoresWithoutFirst>(single) == std::vector<double>{0.0});
  CHECK(row<over::SoftmaxOfPicked>(single) == std::vector<double>{1.0});
}

TEST_CASE("rows of losses: the golden row of ReLU scores", "[training]") {
  const std::vector<double> want = {0, .48881613, .25418056, .01275796, 0, 0, .05099579, .19324653};
  LossCase<double> c = tests::relu_wave_case();
  c.valid = {1, 0, 0, 0};
  const std::vector<double> guarded = row<over::GuardedScores>(c);
  for (std::size_t e = 0; e < 8; ++e) {
    CHECK(tests::within(guarded[e], want[e], 1e-8));
  }
  CHECK_FALSE(tests::within(row<over::NormalizedScores>(c)[1], want[1], 1e-7));  // no guard
}

}  // namespace
}  // namespace xmoe
