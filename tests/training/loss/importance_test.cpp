// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/importance.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::Importance;
using tests::LossCase;
using Picked = Importance<loss::over::SoftmaxOfPicked>;

TEST_CASE("importance: what holds for all losses", "[training]") {
  tests::check_loss_of(Importance<>{0.5f});
  tests::check_loss_of(Importance<>{0.5f, true});
  tests::check_loss_of(Picked{0.5f});
  tests::check_loss_of(Importance<loss::over::SoftmaxOfLogits>{0.5f});
}

TEST_CASE("importance: golden figures", "[training]") {
  LossCase<double> c = tests::wave_case(2);
  CHECK(tests::within(c.value(Importance<>{1.f}), .14775610, 1e-8));
  CHECK(tests::within(c.value(Importance<>{1.f, true}), .16886411, 1e-8));
  CHECK(tests::within(c.value(Picked{1.f}), .39236875, 1e-8));
  CHECK(c.dscores == std::vector<double>(32, 0.0));
  CHECK(tests::within(tests::wave_case(8).value(Picked{1.f}), .14775610, 1e-8));  // k = E
}

TEST_CASE("importance: uniform, collapsed, one expert, nothing", "[training]") {
  LossCase<double> even(4, {{0}, {1}, {2}});
  even.scores.assign(12, 0.25);
  CHECK(even.value(Importance<>{1.f}) == 0.0);
  LossCase<double> one(4, {{2}, {2}, {2}});
  one.scores = {0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0};
  CHECK(tests::within(one.value(Importance<>{1.f}), 3.0, 1e-14));        // E - 1
  CHECK(tests::within(one.value(Importance<>{1.f, true}), 4.0, 1e-14));  // E
  CHECK(tests::within(one.value(Picked{1.f}), 3.0, 1e-14));
  LossCase<double> single(1, {{0}, {0}});
  single.scores = {0.2, 0.9};
  CHECK(single.value(Importance<>{1.f, true}) == 0.0);
  CHECK(single.dscores == std::vector<double>(2, 0.0));
  one.scores.assign(12, 0.0);
  CHECK(one.value(Importance<>{1.f}) == 0.0);
  CHECK(one.dscores == std::vector<double>(12, 0.0));
  LossCase<double> idle(3, {{}, {}});
  CHECK(idle.value(Picked{1.f}) == 0.0);
}

}  // namespace
}  // namespace xmoe
