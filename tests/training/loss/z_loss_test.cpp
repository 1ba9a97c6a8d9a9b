// SPDX-License-Identifier: Apache-2.0
#include <xmoe/training/loss/z_loss.hpp>

#include <xmoe/training/loss/load_balance.hpp>

#include "support/catch.hpp"
#include "support/loss_case.hpp"

namespace xmoe {
namespace {

using namespace loss;
using tests::LossCase;

TEST_CASE("z-loss: logits 0 give (ln E)^2", "[training]") {
  for (const index experts : {1, 2, 3, 8, 60}) {
    LossCase<double> c(experts, {{0}, {0}, {0}});
    c.logits.assign(c.logits.size(), 0.0);
    const double log = std::log(static_cast<double>(experts));
    CHECK(tests::within(c.value(ZLoss{1.f}), log * log, 1e-14));
    CHECK(tests::within(c.value(ZLoss{0.5f}), 0.5 * log * log, 1e-14));
    // dz = 2/T lse softmax
    CHECK(tests::relative_error(
              c.dlogits,
              std::vector<double>(c.logits.size(),
                                  0.5 * 2.0 / 3.0 * log / static_cast<double>(experts))) < 1e-14);
    CHECK(c.dscores == std::vector<double>(c.logits.size(), 0.0));
    LossCase<double> shifted = c;  // lse moves with the logits
    for (double& z : shifted.logits) {
      z += 2.0;
    }
    CHECK(tests::within(shifted.value(ZLoss{1.f}), (log + 2.0) * (log + 2.0), 1e-13));
  }
}

TEST_CASE("z-loss: one expert is the mean square", "[training]") {
  LossCase<double> c(1, {{0}, {0}});
  c.logits = {3.0, -1.0};
  CHECK(tests::within(c.value(ZLoss{1.f}), 5.0, 1e-15));
  CHECK(tests::relative_error(c.dlogits, {3.0, -1.0}) < 1e-15);
}

TEMPLATE_TEST_CASE("z-loss: large and masked logits", "[training]", float, double) {
  using R = TestType;
  LossCase<R> c(3, {{0}});
  c.logits = {R(1e4), R(1e4), R(-1e4)};
  const double lse = 1e4 + std::log(2.0);
  CHECK(tests::within(c.value(ZLoss{1.f}), lse * lse,
                      4.0 * static_cast<double>(std::numeric_limits<R>::epsilon()) * lse * lse));
  c.logits = {-std::numeric_limits<R>::infinity(), R(0), R(0)};
  CHECK(tests::within(c.value(ZLoss{1.f}), std::log(2.0) * std::log(2.0), 1e-6));
  CHECK(c.dlogits[0] == R(0));
  CHECK(is_finite(c.dlogits[1]));
}

TEST_CASE("z-loss: no tokens", "[training]") {
  LossCase<double> none(3, {});
  CHECK(none.value(ZLoss{1.f}) == 0.0);
}

TEST_CASE("z-loss: padding counts nowhere", "[training]") {
  LossCase<float> c(2, {{0}, {}, {1}});
  LossCase<float> compact(2, {{0}, {1}});
  c.valid = {1, 0, 1};
  for (index e = 0; e < 2; ++e) {
    compact.logit(0, e) = c.logit(0, e);
    compact.logit(1, e) = c.logit(2, e);
    c.logit(1, e) = std::numeric_limits<float>::quiet_NaN();
  }
  CHECK(c.value(ZLoss{1.f}) == compact.value(ZLoss{1.f}));
  CHECK(std::vector<float>(c.dlogits.begin() + 4, c.dlogits.end()) ==
        std::vector<float>(compact.dlogits.begin() + 2, compact.dlogits.end()));
  CHECK(c.dlogits[2] == 0.f);
}

TEST_CASE("z-loss: a token whose experts are all masked counts with 0", "[training]") {
  const float masked = -std::numeric_limits<float>::infinity();
  LossCase<float> c(3, {{0}, {}, {1}});
  LossCase<float> half(3, {{0}, {}, {1}});
  for (index e = 0; e < 3; ++e) {
    c.logit(1, e) = masked;
    half.logit(1, e) = e == 1 ? 0.f : masked;  // lse = 0: the same value, another gradient
  }
  CHECK(c.value(ZLoss{1.f}) == half.value(ZLoss{1.f}));
  CHECK(c.dlogits == half.dlogits);
  const LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits> balance{1.f};
  CHECK(is_finite(c.value(balance)));
  CHECK(c.value(balance) < half.value(balance) + 1e-9);
  for (index e = 0; e < 3; ++e) {
    CHECK(c.dlogits[static_cast<std::size_t>(3 + e)] == 0.f);
  }
  half.logit(1, 1) = 1.f;
  CHECK(c.value(ZLoss{1.f}) != half.value(ZLoss{1.f}));  // twin
}

TEST_CASE("z-loss: gradients of several losses add up", "[training]") {
  LossCase<double> c(3, {{0}, {2}});
  c.value(ZLoss{1.f});
  const std::vector<double> once = c.dlogits;
  c.add(ZLoss{2.f});
  for (std::size_t i = 0; i < once.size(); ++i) {
    CHECK(tests::within(c.dlogits[i], 3.0 * once[i], 1e-14));
  }
}

}  // namespace
}  // namespace xmoe
