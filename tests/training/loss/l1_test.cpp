// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/l1.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::L1;
using tests::LossCase;

TEST_CASE("L1: what holds for all losses", "[training]") {
  tests::check_loss_of(L1{0.5f});
  tests::check_loss_of(L1{0.5f, 2});
}

TEST_CASE("L1: by hand", "[training]") {
  LossCase<double> c(3, {{0}, {0, 2}});
  c.scores = {0.5, -0.25, 0.0, 2.0, 0.0, 1.0};
  CHECK(c.value(L1{1.f}) == 0.5 * (0.75 + 3.0));
  CHECK(c.dscores == std::vector<double>{0.5, -0.5, 0.0, 0.5, 0.0, 0.5});
  CHECK(c.dlogits == std::vector<double>(6, 0.0));
  // weighted: f = 3 / (2 T) * (2, 0, 1)
  c.scores[1] = 0.0;
  CHECK(tests::within(c.value(L1{1.f, 2}), 0.5 * (1.5 * 2.5 + 0.75 * 1.0), 1e-15));
  CHECK(tests::relative_error(c.dscores, {0.75, 0, 0.375, 0.75, 0, 0.375}) < 1e-15);
}

TEST_CASE("L1: at the balance that is aimed for, the load changes nothing", "[training]") {
  LossCase<double> c(4, {{0, 1}, {1, 2}, {2, 3}, {3, 0}});
  CHECK(tests::within(c.value(L1{1.f, 2}), c.value(L1{1.f}), 1e-15));
  CHECK(tests::within(c.value(L1{1.f, 1}), 2.0 * c.value(L1{1.f}), 1e-15));  // twice too many
  CHECK(tests::within(c.value(L1{1.f}), 1.0, 1e-15));                        // softmax rows
}

TEST_CASE("L1: no number of experts", "[training]") {
  LossCase<double> c(2, {{0}});
  CHECK(tests::message_of<value_error>([&] {
          c.value(L1{1.f, -1});
        }) == "xmoe::loss::L1: experts_per_token is -1, must not be negative");
}

}  // namespace
}  // namespace xmoe
