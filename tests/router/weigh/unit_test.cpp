// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/unit.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Unit;

TEMPLATE_TEST_CASE("unit: the scale, whatever the scores", "[router][weigh]", float, double) {
  using R = TestType;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const std::vector<R> z = {nan, 0, 1}, s = {nan, R(0), R(0.3)};
  CHECK(tests::weights_by<R>(Unit{}, z, s, {0, 2}) == std::vector<R>{1, 1});
  CHECK(tests::weights_by<R>(Unit{0.5f}, z, s, {1}) == std::vector<R>{R(0.5)});
  CHECK(tests::weights_by<R>(Unit{}, z, s, {}).empty());
  CHECK(tests::weights_by<R>(Unit{0.5f}, z, s, {1}) != std::vector<R>{1});
}

TEST_CASE("unit: no gradient", "[router][weigh]") {
  const std::vector<double> z = {0, 1}, s = {0.25, 0.75}, g = {3.0, -1.0}, w = {1.0, 1.0};
  const std::vector<std::int32_t> chosen = {1, 0};
  std::vector<double> ds = {1, 2}, dz = {3, 4};
  Unit{}.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                      tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(ds == std::vector<double>{1, 2});
  CHECK(dz == std::vector<double>{3, 4});
}

}  // namespace
}  // namespace xmoe
