// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/sqrt_softplus.hpp>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::SqrtSoftplus;

double formula(double z) {
  return std::sqrt(std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))));
}

TEMPLATE_TEST_CASE("square root of softplus: tabulated", "[router][score]", float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  // sqrt(ln 2), sqrt(ln(1 + e)), sqrt(ln(1 + 1/e)), and the ends sqrt(z), exp(z/2)
  const std::vector<R> z = {0, 1, -1, 400, -40};
  const reference::Vector want = {0.8325546111576977, 1.145976303209723, 0.5596978537731075, 20.0,
                                  2.061153622438558e-9};
  const reference::Vector got = tests::wide(tests::scores_of(SqrtSoftplus{}, z));
  for (std::size_t i = 0; i < z.size(); ++i) {
    CAPTURE(z[i], got[i], want[i]);
    CHECK(tests::within(got[i], want[i], 6 * eps * want[i]));
    CHECK_FALSE(tests::within(got[i], want[i] * want[i], 6 * eps * want[i]));  // without the root
  }
}

TEMPLATE_TEST_CASE("square root of softplus: relative accuracy of every score", "[router][score]",
                   float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  std::vector<R> z;
  for (int i = -800; i <= 1000; ++i) {
    z.push_back(R(0.1) * static_cast<R>(i));
  }
  const std::vector<R> got = tests::scores_of(SqrtSoftplus{}, z);
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double want = formula(static_cast<double>(z[i]));
    CAPTURE(z[i], got[i], want);
    CHECK(tests::within(static_cast<double>(got[i]), want, 5 * eps * want));
    CHECK((i == 0 || got[i] >= got[i - 1]));
  }
}

TEMPLATE_TEST_CASE("square root of softplus: the ends", "[router][score]", float, double) {
  using R = TestType;
  const R inf = tests::infinity<R>;
  const R max = std::numeric_limits<R>::max();
  CHECK(tests::scores_of<R>(SqrtSoftplus{}, {inf, -inf, max, -max}) ==
        std::vector<R>{inf, R(0), std::sqrt(max), R(0)});
  const std::vector<R> mixed =
      tests::scores_of<R>(SqrtSoftplus{}, {std::numeric_limits<R>::quiet_NaN(), 4});
  CHECK(xmoe::is_nan(mixed[0]));  // every expert on its own
  CHECK(xmoe::is_finite(mixed[1]));
  tests::check_masked<R>(SqrtSoftplus{});
  CHECK(tests::score_gradient<R>(SqrtSoftplus{}, {-max, max, R(-1e4)}, {1, 0, 1}) ==
        std::vector<R>{0, 0, 0});
}

TEST_CASE("square root of softplus: gradients", "[router][score]") {
  tests::check_score_gradients(
      SqrtSoftplus{}, [](const auto&) { return true; },
      [](auto& dz, const auto& s) {  // twin: softplus without the root
        for (std::size_t e = 0; e < dz.size(); ++e) {
          dz[e] *= 2.0 * s[e];
        }
      });
  CHECK_FALSE(tests::ignores_shift(SqrtSoftplus{}));
}

}  // namespace
}  // namespace xmoe
