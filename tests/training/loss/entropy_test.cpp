// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/entropy.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::Aim;
using loss::Entropy;
using tests::LossCase;
using Local = Entropy<loss::scope::Local>;
using Global = Entropy<loss::scope::Global>;
template <class Scope>
using OfLogits = Entropy<Scope, loss::over::SoftmaxOfLogits>;

TEST_CASE("entropy: what holds for all losses", "[training]") {
  tests::check_loss_of(Local{0.5f});
  tests::check_loss_of(Global{0.5f});
  tests::check_loss_of(Global{0.5f, Aim::at_least, 10.0});
  tests::check_loss_of(Local{0.5f, Aim::at_most, 0.1});
  tests::check_loss_of(OfLogits<loss::scope::Local>{0.5f, Aim::maximize});
  tests::check_loss_of(OfLogits<loss::scope::Global>{0.5f, Aim::minimize});
}

TEST_CASE("entropy: golden figures", "[training]") {
  LossCase<double> c = tests::wave_case(2);
  CHECK(tests::within(c.value(Local{1.f}), 1.41169588, 1e-8));
  CHECK(tests::within(c.value(Local{1.f, Aim::maximize}), -1.41169588, 1e-8));
  CHECK(tests::within(c.value(Global{1.f}), -1.99938976, 1e-8));
  CHECK(tests::within(c.value(Global{1.f, Aim::minimize}), 1.99938976, 1e-8));
  const double least[] = {1.66010681, 1.76406903, 1.33190284, .89070483};
  for (index t = 0; t < 4; ++t) {
    LossCase<double> row(8, {{0}});
    row.scores.assign(c.scores.begin() + t * 8, c.scores.begin() + (t + 1) * 8);
    CHECK(tests::within(row.value(Local{1.f}), least[t], 1e-8));
    CHECK(tests::within(row.value(Global{1.f}), -least[t], 1e-8));
  }
  const auto at_least = [](double experts) {
    return Global{1.f, Aim::at_least, std::log(experts)};
  };
  CHECK(c.value(at_least(4.0)) == 0.0);
  CHECK(c.value(at_least(7.0)) == 0.0);
  CHECK(c.dscores == std::vector<double>(32, 0.0));
  CHECK(tests::within(c.value(at_least(8.0)), .08005178, 1e-8));
  CHECK(c.dscores != std::vector<double>(32, 0.0));
  CHECK(tests::within(c.value(Local{1.f, Aim::at_most, 1.0}), .41169588, 1e-8));
  CHECK(c.value(Local{1.f, Aim::at_most, 1.5}) == 0.0);
}

TEST_CASE("entropy: gradient of the logits of a softmax", "[training]") {
  // gz = -p (ln p + H) / T, whatever way it takes
  LossCase<double> c = tests::wave_case(1);
  c.value(OfLogits<loss::scope::Local>{1.f});
  for (index t = 0; t < 4; ++t) {
    double entropy = 0.0;
    for (index e = 0; e < 8; ++e) {
      entropy -= c.score(t, e) * std::log(c.score(t, e));
    }
    for (index e = 0; e < 8; ++e) {
      const double want = -c.score(t, e) * (std::log(c.score(t, e)) + entropy) / 4.0;
      CHECK(tests::within(c.dlogits[static_cast<std::size_t>(t * 8 + e)], want, 1e-14));
    }
  }
}

TEST_CASE("entropy: uniform, certain, probabilities of 0", "[training]") {
  for (const index experts : {1, 2, 8}) {
    LossCase<double> even(experts, {{0}, {0}});
    even.scores.assign(even.scores.size(), 1.0 / static_cast<double>(experts));
    const double most = std::log(static_cast<double>(experts));
    CHECK(tests::within(even.value(Local{1.f}), most, 1e-14));
    CHECK(tests::within(even.value(Global{1.f}), -most, 1e-14));
  }
  // every token certain, each of another expert: local 0, global ln 2
  LossCase<double> c(3, {{0}, {1}});
  c.scores = {1, 0, 0, 0, 1, 0};
  CHECK(c.value(Local{1.f}) == 0.0);
  CHECK(c.dscores == std::vector<double>{-0.5, 0, 0, 0, -0.5, 0});
  CHECK(tests::within(c.value(Global{1.f}), -std::log(2.0), 1e-15));
  CHECK(c.dscores[2] == 0.0);  // an expert that nobody uses
  CHECK(is_finite(c.dscores[0]));
  c.logits = {1e4, -1e4, -std::numeric_limits<double>::infinity(), 0, 0, -1e4};
  CHECK(tests::within(c.value(OfLogits<loss::scope::Local>{1.f}), 0.5 * std::log(2.0), 1e-14));
  for (const double g : c.dlogits) {
    CHECK(tests::within(g, 0.0, 1e-15));
  }
}

}  // namespace
}  // namespace xmoe
