// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/locality.hpp>

#include "training/loss/suite.hpp"

namespace xmoe {
namespace {

using loss::Locality;
using tests::LossCase;

TEST_CASE("locality: what holds for all losses", "[training]") {
  tests::check_loss_of(Locality{0.5f}, {.tokens_move = false});
  tests::check_loss_of(Locality{0.5f, 2.f}, {.tokens_move = false});
  tests::check_loss_of(Locality{0.5f, 1.f, 4}, {.tokens_move = false});
}

TEST_CASE("locality: the cross-entropy of soft activities", "[training]") {
  LossCase<double> c(2, {{0}, {0}, {1}});
  c.logits = {0.3, -0.7, 0.1, 0.4, -0.2, 0.5};
  double want = 0.0;
  for (index t = 1; t < 3; ++t) {
    for (index e = 0; e < 2; ++e) {
      const double p = math::sigmoid(3.0 * c.logit(t - 1, e));
      const double q = math::sigmoid(3.0 * c.logit(t, e));
      want -= (q * std::log(p) + (1.0 - q) * std::log(1.0 - p)) / 4.0;
    }
  }
  CHECK(tests::within(c.value(Locality{1.f, 3.f}), want, 1e-14));
  CHECK(c.dscores == std::vector<double>(6, 0.0));
  const LossCase<double> kept = c;
  std::swap_ranges(c.logits.begin(), c.logits.begin() + 2, c.logits.begin() + 4);
  CHECK_FALSE(tests::within(c.value(Locality{1.f, 3.f}), want, 1e-3));  // not symmetric in time
  c = kept;
  // in sequences of 2 the last row has no neighbour
  LossCase<double> two(2, {{0}, {0}});
  two.logits.assign(c.logits.begin(), c.logits.begin() + 4);
  CHECK(c.value(Locality{1.f, 3.f, 2}) == two.value(Locality{1.f, 3.f}));
  CHECK(c.dlogits[4] == 0.0);
}

TEST_CASE("locality: agreement, disagreement, nothing to compare", "[training]") {
  LossCase<double> c(2, {{0}, {0}});
  c.logits.assign(4, 0.0);
  CHECK(tests::within(c.value(Locality{1.f}), std::log(2.0), 1e-15));
  c.logits = {1.0, -1.0, 1.0, -1.0};
  CHECK(tests::within(c.value(Locality{1.f}), 0.0, 1e-15));
  c.logits = {1.0, -1.0, -1.0, 1.0};
  CHECK(tests::within(c.value(Locality{1.f}), 100.0, 1e-12));
  c.logits = {1e6, -1e6, -1e6, 1e6};
  CHECK(tests::within(c.value(Locality{1.f}), 1e8, 1e-6));
  const double infinity = std::numeric_limits<double>::infinity();
  c.logits = {-infinity, 1.0, 1.0, -infinity};
  CHECK(c.value(Locality{1.f}) == 0.0);
  CHECK(c.dlogits == std::vector<double>(4, 0.0));
  c.logits.assign(4, 0.0);
  CHECK(c.value(Locality{1.f, 100.f, 1}) == 0.0);  // sequences of one token
  LossCase<double> gap(2, {{0}, {}, {0}});
  gap.valid = {1, 0, 1};
  CHECK(gap.value(Locality{1.f}) == 0.0);  // padding between
}

TEST_CASE("locality: impossible numbers", "[training]") {
  LossCase<double> c(2, {{0}});
  CHECK(tests::message_of<value_error>([&] {
          c.value(Locality{1.f, 1.f, -2});
        }) == "xmoe::loss::Locality: length is -2, must not be negative");
  CHECK(tests::message_of<value_error>([&] {
          c.value(Locality{1.f, 0.f});
        }) == "xmoe::loss::Locality: steepness is 0, must be positive");
}

}  // namespace
}  // namespace xmoe
