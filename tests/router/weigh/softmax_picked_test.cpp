// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/softmax_picked.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Normalized;
using xmoe::weigh::SoftmaxPicked;

TEMPLATE_TEST_CASE("softmax of the picked: tabulated", "[router][weigh]", float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  const std::vector<R> z = {0, 5, 1, -3}, s(4, R(0.7));
  const auto weights = [&](float scale, const std::vector<std::int32_t>& chosen) {
    return tests::wide(tests::weights_by<R>(SoftmaxPicked{scale}, z, s, chosen));
  };
  CHECK(tests::relative_error(weights(1.f, {2, 0}), {0.7310585786300049, 0.2689414213699951}) <
        8 * eps);
  CHECK(tests::relative_error(weights(3.f, {2, 0}), {2.1931757358900147, 0.8068242641099853}) <
        8 * eps);
  CHECK(weights(1.f, {3}) == reference::Vector{1.0});
  CHECK(weights(1.f, {}).empty());
  CHECK(tests::relative_error(weights(1.f, {0, 2}), {0.7310585786300049, 0.2689414213699951}) >
        0.1);
}

TEMPLATE_TEST_CASE("softmax of the picked: hard rows", "[router][weigh]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const std::vector<R> s(3, R(0));
  CHECK(tests::weights_by<R>(SoftmaxPicked{}, {-inf, -inf, 0}, s, {0, 1}) == std::vector<R>{0, 0});
  CHECK(tests::weights_by<R>(SoftmaxPicked{}, {R(1e4), R(-1e4), 0}, s, {0, 1}) ==
        std::vector<R>{1, 0});
  CHECK(tests::weights_by<R>(SoftmaxPicked{}, {R(-1e30), R(-1e30), 0}, s, {0, 1}) ==
        std::vector<R>{R(0.5), R(0.5)});
  // what was not picked does not matter
  CHECK(tests::weights_by<R>(SoftmaxPicked{}, {0, 0, nan}, s, {0, 1}) ==
        std::vector<R>{R(0.5), R(0.5)});
  for (const R w : tests::weights_by<R>(SoftmaxPicked{}, {0, nan, 0}, s, {0, 1})) {
    CHECK(xmoe::is_nan(w));
  }
}

TEMPLATE_TEST_CASE("softmax of the picked = softmax of all, normalized", "[router][weigh]", float,
                   double) {
  using R = TestType;
  tests::Generator random(31);
  for (const tests::index experts : {2, 3, 8, 64}) {
    const auto z = tests::narrow<R>(tests::normals(random, experts, 2.0));
    const std::vector<R> p = tests::scores_of(xmoe::score::Softmax{}, z);
    std::vector<std::int32_t> chosen;
    for (const tests::index e : tests::chosen_by(xmoe::select::TopK{2}, z)) {
      chosen.push_back(static_cast<std::int32_t>(e));
    }
    const auto a = tests::wide(tests::weights_by(SoftmaxPicked{}, z, p, chosen));
    const auto b = tests::wide(tests::weights_by(Normalized{}, z, p, chosen));
    INFO(experts << " experts");
    CHECK(tests::difference(a, b, tests::tolerance<R>(experts + 16, 1.0)).close);
  }
}

TEST_CASE("softmax of the picked: the gradient by hand", "[router][weigh]") {
  const std::vector<double> z = {0.0, 5.0, 1.0}, s = {7.0, 7.0, 7.0}, g = {1.0, 4.0};
  const std::vector<std::int32_t> chosen = {2, 0};
  const SoftmaxPicked weigh{2.f};
  const std::vector<double> w = tests::weights_by(weigh, z, s, chosen);
  std::vector<double> ds = {1, 1, 1}, dz = {0, 0, 0};
  const auto backward = [&](const SoftmaxPicked& policy) {
    policy.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                        tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  };
  backward(weigh);
  const double product = 0.7310585786300049 * 0.2689414213699951;  // dw_2/dz_2 before the scale
  CHECK(tests::relative_error(dz, {6.0 * product, 0.0, -6.0 * product}) < 1e-14);
  CHECK(ds == std::vector<double>{1, 1, 1});
  backward(SoftmaxPicked{0.f});  // scale 0: nothing flows, no 0/0
  CHECK(tests::relative_error(dz, {6.0 * product, 0.0, -6.0 * product}) < 1e-14);
}

}  // namespace
}  // namespace xmoe
