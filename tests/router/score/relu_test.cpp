// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/relu.hpp>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::Relu;

TEMPLATE_TEST_CASE("relu: the positive part", "[router][score]", float, double) {
  using R = TestType;
  const R inf = tests::infinity<R>;
  const R tiny = std::numeric_limits<R>::denorm_min();
  CHECK(tests::same_bits(
      tests::scores_of<R>(Relu{}, {R(2.5), R(-2.5), R(0), -R(0), tiny, -tiny, inf, -inf}),
      {R(2.5), R(0), R(0), R(0), tiny, R(0), inf, R(0)}));
  const std::vector<R> mixed =
      tests::scores_of<R>(Relu{}, {std::numeric_limits<R>::quiet_NaN(), 1});
  CHECK(xmoe::is_nan(mixed[0]));  // every expert on its own
  CHECK(mixed[1] == R(1));
  tests::check_masked<R>(Relu{});
}

TEST_CASE("relu: the gradient by hand, and away from 0", "[router][score]") {
  const std::vector<double> z = {1.0, -1.0, 0.0}, g = {2.0, 3.0, 5.0};
  CHECK(tests::score_gradient(Relu{}, z, g) == std::vector<double>{2.0, 0.0, 0.0});
  tests::check_score_gradients(
      Relu{},
      [](const auto& row) {
        return std::all_of(row.begin(), row.end(), [](double v) { return std::abs(v) > 1e-3; });
      },
      [](auto& dz, const auto&) {
        for (double& v : dz) {
          v *= 0.5;
        }
      });
}

TEST_CASE("relu: a constant added to the row matters", "[router][score]") {
  CHECK_FALSE(tests::ignores_shift(Relu{}));
}

}  // namespace
}  // namespace xmoe
