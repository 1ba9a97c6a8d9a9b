// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/imitate.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::Imitate;
using tests::LossCase;
namespace measure = loss::measure;
namespace over = loss::over;

/// Random probabilities as target, kept for as long as the loss.
template <class L>
auto with_target(std::vector<double>& store) {
  return [&store](index tokens, index experts) {
    tests::Generator random(11);
    store.clear();
    for (index t = 0; t < tokens; ++t) {
      for (const double q : reference::softmax(tests::normals(random, experts))) {
        store.push_back(q);
      }
    }
    return L{0.5f, {store.data(), tokens, experts}};
  };
}

TEST_CASE("imitate: what holds for all losses", "[training]") {
  const tests::LossTraits fixed = {.tokens_move = false, .experts_move = false};
  std::vector<double> q;
  tests::check_loss(with_target<Imitate<measure::SquaredError, over::SoftmaxOfLogits, double>>(q),
                    fixed);
  tests::check_loss(
      with_target<Imitate<measure::KullbackLeibler, over::SoftmaxOfLogits, double>>(q), fixed);
  tests::check_loss(with_target<Imitate<measure::KullbackLeibler, over::Scores, double>>(q), fixed);
  tests::check_loss(with_target<Imitate<measure::SquaredError, over::Logits, double>>(q), fixed);
}

TEST_CASE("imitate: golden rows", "[training]") {
  // competition by the norms |Z|, two experts: their softmax is the target of the row
  LossCase<double> c = tests::wave_case(2);
  std::vector<double> q(32, 0.0);
  const double weight[] = {.50221981, .49778019, .50873157, .49126843,
                           .51796993, .48203007, .50062033, .49937967};
  const std::size_t expert[] = {4, 5, 2, 0, 6, 7, 7, 2};
  double squares = 0.0, divergence = 0.0;
  for (std::size_t i = 0; i < 8; ++i) {
    q[8 * (i / 2) + expert[i]] = weight[i];
  }
  for (std::size_t i = 0; i < 32; ++i) {
    squares += (c.scores[i] - q[i]) * (c.scores[i] - q[i]) / 32.0;
    divergence += q[i] > 0.0 ? q[i] * std::log(q[i] / c.scores[i]) / 4.0 : 0.0;
  }
  const MatrixView<const double> target(q.data(), 4, 8);
  using Squares = Imitate<measure::SquaredError, over::SoftmaxOfLogits, double>;
  using Divergence = Imitate<measure::KullbackLeibler, over::SoftmaxOfLogits, double>;
  CHECK(tests::within(c.value(Squares{1.f, target}), squares, 1e-14));
  CHECK(c.dscores == std::vector<double>(32, 0.0));
  CHECK(tests::within(c.value(Divergence{1.f, target}), divergence, 1e-13));
  for (std::size_t i = 0; i < 32; ++i) {  // gz = (p - q) / T
    CHECK(tests::within(c.dlogits[i], (c.scores[i] - q[i]) / 4.0, 1e-8));
  }
}

TEST_CASE("imitate: on target there is nothing to learn", "[training]") {
  LossCase<double> c = tests::wave_case(2);
  const std::vector<double> q = c.scores, z = c.logits;
  const MatrixView<const double> p(q.data(), 4, 8), logits(z.data(), 4, 8);
  CHECK(tests::within(
      c.value(Imitate<measure::KullbackLeibler, over::SoftmaxOfLogits, double>{1.f, p}), 0.0,
      1e-15));
  CHECK(tests::magnitude(c.dlogits) < 1e-15);
  CHECK(c.value(Imitate<measure::SquaredError, over::Scores, double>{1.f, p}) == 0.0);
  CHECK(c.value(Imitate<measure::SquaredError, over::Logits, double>{1.f, logits}) == 0.0);
  c.logits[3] += 2.0;
  CHECK(tests::within(c.value(Imitate<measure::SquaredError, over::Logits, double>{1.f, logits}),
                      4.0 / 32.0, 1e-15));
  CHECK(tests::within(c.dlogits[3], 4.0 / 32.0, 1e-15));
  CHECK(c.dlogits[2] == 0.0);
}

TEST_CASE("imitate: probabilities of 0 stay finite", "[training]") {
  LossCase<float> c(2, {{0}});
  c.logits = {0.f, -1e4f};
  const float q[] = {0.f, 1.f};
  CHECK(is_finite(c.value(Imitate<measure::KullbackLeibler>{1.f, {q, 1, 2}})));
  CHECK(is_finite(c.dlogits[0] + c.dlogits[1]));
  CHECK(tests::within(c.value(Imitate<>{1.f, {q, 1, 2}}), 1.0, 1e-6));
}

TEST_CASE("imitate: targets of another shape", "[training]") {
  LossCase<double> c(2, {{0}, {1}});
  const std::vector<float> q(6, 0.5f);
  CHECK(tests::message_of<shape_error>([&] {
          c.value(Imitate<>{1.f, {q.data(), 3, 2}});
        }) == "xmoe::loss::Imitate: target is 3 x 2, must be 2 x 2");
  CHECK_FALSE(tests::message_of<shape_error>([&] { c.value(Imitate<>{}); }).empty());
  CHECK(LossCase<double>(2, {}).value(Imitate<>{}) == 0.0);
}

}  // namespace
}  // namespace xmoe
