// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/raw.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Raw;

TEMPLATE_TEST_CASE("raw: scale times the score", "[router][weigh]", float, double) {
  using R = TestType;
  const std::vector<R> z = {9, 9, 9}, s = {R(0.5), R(0.125), R(0.25)};
  CHECK(tests::weights_by<R>(Raw{}, z, s, {0, 2}) == std::vector<R>{R(0.5), R(0.25)});
  CHECK(tests::weights_by<R>(Raw{2.f}, z, s, {1, 0}) == std::vector<R>{R(0.25), R(1)});
  CHECK(tests::weights_by<R>(Raw{0.f}, z, s, {1, 0}) == std::vector<R>{R(0), R(0)});
  CHECK(tests::weights_by<R>(Raw{}, z, s, {}).empty());
  CHECK(tests::weights_by<R>(Raw{}, z, s, {0, 2}) != std::vector<R>{R(0.25), R(0.5)});
}

TEST_CASE("raw: the gradient by hand", "[router][weigh]") {
  const std::vector<double> z = {0, 0, 0}, s = {0.5, 0.125, 0.25}, g = {3.0, -1.0};
  const std::vector<std::int32_t> chosen = {2, 0};
  const std::vector<double> w = tests::weights_by(Raw{2.f}, z, s, chosen);
  std::vector<double> ds = {1, 1, 1}, dz = {5, 5, 5};
  Raw{2.f}.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                        tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(ds == std::vector<double>{-1, 1, 7});
  CHECK(dz == std::vector<double>{5, 5, 5});
}

}  // namespace
}  // namespace xmoe
