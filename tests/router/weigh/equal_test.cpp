// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/equal.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Equal;

// As with Unit, a choice of one is no special case: the task never reaches the router.
template <class W>
concept HasConstantForOne = requires {
  W::constant_for_one;
};
static_assert(!HasConstantForOne<Equal> && HasConstantForOne<weigh::NormalizedBy>);
static_assert(sizeof(Router<gate::Linear, score::Softmax, select::TopOne, Equal>) > 0);

TEMPLATE_TEST_CASE("equal: the mean, whatever the scores", "[router][weigh]", float, double) {
  using R = TestType;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const std::vector<R> z = {nan, 0, 1, 2}, s = {nan, R(0), R(0.3), R(0.7)};
  CHECK(tests::weights_by<R>(Equal{}, z, s, {0, 2}) == std::vector<R>{R(0.5), R(0.5)});
  CHECK(tests::weights_by<R>(Equal{}, z, s, {3}) == std::vector<R>{1});
  CHECK(tests::weights_by<R>(Equal{3.f}, z, s, {1, 2, 3}) == std::vector<R>{1, 1, 1});
  CHECK(tests::weights_by<R>(Equal{}, z, s, {}).empty());
  CHECK(tests::weights_by<R>(Equal{}, z, s, {0, 2}) != std::vector<R>{1, 1});
  for (const int k : {1, 2, 3, 7, 60}) {
    std::vector<std::int32_t> chosen;
    for (int e = 0; e < k; ++e) {
      chosen.push_back(e);
    }
    const std::vector<R> scores(60, R(0.1));
    double sum = 0.0;
    for (const R w : tests::weights_by(Equal{}, scores, scores, chosen)) {
      sum += static_cast<double>(w);
    }
    CHECK(tests::within(sum, 1.0, k * static_cast<double>(std::numeric_limits<R>::epsilon())));
  }
}

TEST_CASE("equal: no gradient", "[router][weigh]") {
  const std::vector<double> z = {0, 1}, s = {0.25, 0.75}, g = {3.0, -1.0}, w = {0.5, 0.5};
  const std::vector<std::int32_t> chosen = {1, 0};
  std::vector<double> ds = {1, 2}, dz = {3, 4};
  Equal{}.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                       tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(ds == std::vector<double>{1, 2});
  CHECK(dz == std::vector<double>{3, 4});
}

}  // namespace
}  // namespace xmoe
