// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/normalized.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Normalized;

template <class P>
std::vector<double> score_gradient(const P& weigh, const std::vector<double>& s,
                                   const std::vector<std::int32_t>& chosen,
                                   const std::vector<double>& g) {
  const std::vector<double> z(s.size(), 0.0);
  const std::vector<double> w = tests::weights_by(weigh, z, s, chosen);
  std::vector<double> ds(s.size(), 0.0), dz(s.size(), 0.0);
  weigh.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                     tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(dz == std::vector<double>(s.size(), 0.0));
  return ds;
}

TEMPLATE_TEST_CASE("normalized: shares of the choice", "[router][weigh]", float, double) {
  using R = TestType;
  const std::vector<R> z(4, R(0)), s = {R(0.5), R(0.125), R(0.25), R(0.125)};
  CHECK(tests::weights_by<R>(Normalized{}, z, s, {0, 1, 3}) ==
        std::vector<R>{R(0.5) / R(0.75), R(0.125) / R(0.75), R(0.125) / R(0.75)});
  CHECK(tests::weights_by<R>(Normalized{}, z, s, {2}) == std::vector<R>{1});
  CHECK(tests::weights_by<R>(Normalized{2.5f}, z, s, {1, 3}) == std::vector<R>{R(1.25), R(1.25)});
  CHECK(tests::weights_by<R>(Normalized{}, z, s, {}).empty());
  CHECK(tests::weights_by<R>(Normalized{2.5f}, z, s, {1, 3}) != std::vector<R>{R(0.5), R(0.5)});
}

TEMPLATE_TEST_CASE("normalized: the sum is the scale", "[router][weigh]", float, double) {
  using R = TestType;
  tests::Generator random(21);
  for (const int k : {1, 2, 3, 8, 60}) {
    std::vector<R> s;
    std::vector<std::int32_t> chosen;
    for (int e = 0; e < k; ++e) {
      s.push_back(static_cast<R>(random.uniform() + 1e-3));
      chosen.push_back(e);
    }
    double sum = 0.0;
    for (const R w : tests::weights_by(Normalized{1.5f}, s, s, chosen)) {
      sum += static_cast<double>(w);
    }
    INFO(k << " chosen, sum " << sum);
    CHECK(
        tests::within(sum, 1.5, 3.0 * k * static_cast<double>(std::numeric_limits<R>::epsilon())));
  }
}

TEMPLATE_TEST_CASE("normalized: scores near 0 divide nothing by 0", "[router][weigh]", float,
                   double) {
  using R = TestType;
  const R tiny = std::numeric_limits<R>::denorm_min();
  const R least = std::numeric_limits<R>::min();
  const std::vector<R> z(3, R(0));
  CHECK(tests::weights_by<R>(Normalized{}, z, {0, 0, 0}, {0, 1}) == std::vector<R>{0, 0});
  CHECK(tests::weights_by<R>(Normalized{}, z, {tiny, tiny, 0}, {0, 1}) == std::vector<R>{0, 0});
  CHECK(tests::weights_by<R>(Normalized{}, z, {least, least, 0}, {0, 1}) ==
        std::vector<R>{R(0.5), R(0.5)});
  // the way there: sigmoids of very negative logits
  const std::vector<R> s = tests::scores_of<R>(xmoe::score::Sigmoid{}, {-800, -900, -1000});
  CHECK(tests::weights_by<R>(Normalized{}, z, s, {0, 1}) == std::vector<R>{0, 0});
}

TEST_CASE("normalized: the gradient by hand and near 0", "[router][weigh]") {
  // w_0 = s_0 / (s_0 + s_1), dw_0/ds_0 = s_1 / sum^2, dw_0/ds_1 = -s_0 / sum^2
  const std::vector<double> ds =
      score_gradient(Normalized{2.f}, {0.5, 9.0, 0.25}, {0, 2}, {1.0, 0.0});
  const double square = 0.75 * 0.75;
  CHECK(tests::relative_error(ds, {2.0 * 0.25 / square, 0.0, -2.0 * 0.5 / square}) < 1e-15);
  CHECK(tests::relative_error(ds, {0.25 / square, 0.0, -0.5 / square}) > 0.1);
  CHECK(score_gradient(Normalized{}, {0.0, 0.0}, {0, 1}, {1.0, 2.0}) == std::vector<double>{0, 0});
  CHECK(score_gradient(Normalized{}, {0.5, 0.1}, {0}, {3.0}) == std::vector<double>{0, 0});
}

}  // namespace
}  // namespace xmoe
