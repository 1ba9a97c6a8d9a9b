// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/prior.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::Prior;
using tests::LossCase;

/// The distribution function that the loss of a single token shows, E experts of which the first
/// has probability p: F = 1/2 + sqrt(its part) for p beyond the median.
double distribution(double p, double alpha, double others) {
  LossCase<double> c(2, {{0}});
  const std::vector<double> a = {alpha, others};
  c.scores = {p, 1.0 - p};  // both errors are alike: F(1 - p) = 1 - F(p)
  const double value = c.value(Prior<>{1.f, 1.0, tests::in(a)});
  const double error = std::sqrt(value / 2.0);
  return c.dscores[0] < 0.0 ? 0.5 - error : 0.5 + error;
}

TEST_CASE("prior: what holds for all losses", "[training]") {
  tests::check_loss_of(Prior<>{0.5f});
  tests::check_loss_of(Prior<>{0.5f, 0.75});
  tests::check_loss_of(Prior<loss::over::SoftmaxOfLogits>{0.5f, 3.0});
}

TEST_CASE("prior: closed forms of the distribution", "[training]") {
  const double pi = std::acos(-1.0);
  for (const double p : {1e-9, 0.01, 0.2, 0.4999, 0.7, 0.93, 1.0 - 1e-9}) {
    INFO("p = " << p);
    CHECK(tests::within(distribution(p, 1.0, 1.0), p, 1e-14));
    CHECK(tests::within(distribution(p, 1.0, 7.0), 1.0 - std::pow(1.0 - p, 7.0), 1e-13));
    CHECK(tests::within(distribution(p, 3.0, 1.0), p * p * p, 1e-13));
    CHECK(tests::within(distribution(p, 0.5, 0.5), 2.0 / pi * std::asin(std::sqrt(p)), 1e-11));
    CHECK(tests::within(distribution(p, 2.0, 2.0), p * p * (3.0 - 2.0 * p), 1e-13));
    CHECK(tests::within(distribution(p, 0.75, 47.25) + distribution(1.0 - p, 47.25, 0.75), 1.0,
                        1e-13));
  }
  CHECK(distribution(0.0, 0.5, 2.0) == 0.0);
  CHECK(distribution(1.0, 0.5, 0.5) == 1.0);
}

TEST_CASE("prior: spread as wanted, and otherwise", "[training]") {
  LossCase<double> c(2, {{0}, {0}, {0}, {0}});
  c.scores = {0.125, 0.875, 0.625, 0.375, 0.375, 0.625, 0.875, 0.125};
  CHECK(tests::within(c.value(Prior<>{1.f}), 0.0, 1e-15));  // Beta(1, 1): the mid quantiles
  CHECK(c.value(Prior<>{1.f, 0.5}) > 1e-3);
  c.scores = {0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75};  // ties take ranks by token
  CHECK(tests::within(c.value(Prior<>{1.f}), 2.0 * (.015625 + .015625 + .140625 + .390625) / 4.0,
                      1e-14));
  CHECK(c.dscores[0] > 0.0);
  CHECK(c.dscores[2] < 0.0);
  LossCase<double> collapsed(2, {{0}, {0}, {0}, {0}});
  collapsed.scores = {1, 0, 1, 0, 1, 0, 1, 0};
  CHECK(tests::within(collapsed.value(Prior<>{1.f, 0.5}),
                      2.0 * (.015625 + .140625 + .390625 + .765625) / 4.0, 1e-14));
  for (const double g : collapsed.dscores) {
    CHECK(is_finite(g));
  }
}

TEST_CASE("prior: impossible numbers", "[training]") {
  LossCase<double> c(2, {{0}});
  const std::vector<double> three(3, 1.0), negative = {1.0, -1.0};
  CHECK(tests::message_of<value_error>([&] {
          c.value(Prior<>{1.f, 0.0});
        }) == "xmoe::loss::Prior: concentration is 0, must be positive and finite");
  CHECK_FALSE(tests::message_of<value_error>([&] {
                c.value(Prior<>{1.f, 1.0, tests::in(negative)});
              }).empty());
  CHECK(tests::message_of<shape_error>([&] {
          c.value(Prior<>{1.f, 1.0, tests::in(three)});
        }) == "xmoe::loss::Prior: 3 concentrations for 2 experts");
  c.scores = {std::numeric_limits<double>::quiet_NaN(), 0.5};
  CHECK_FALSE(is_finite(c.value(Prior<>{1.f})));
}

}  // namespace
}  // namespace xmoe
