// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/sigmoid.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::score::Sigmoid;

TEMPLATE_TEST_CASE("sigmoid: tabulated", "[router][score]", float, double) {
  using R = TestType;
  const std::vector<R> z = {0, 1, -1, 3, -3, 20, -20};
  const reference::Vector want = {0.5,
                                  0.7310585786300049,
                                  0.2689414213699951,
                                  0.9525741268224334,
                                  0.04742587317756678,
                                  0.9999999979388464,
                                  2.061153618190204e-9};
  const reference::Vector got = tests::wide(tests::scores_of(Sigmoid{}, z));
  for (std::size_t i = 0; i < z.size(); ++i) {
    CAPTURE(z[i], got[i], want[i]);
    const double ulp = static_cast<double>(std::numeric_limits<R>::epsilon()) * want[i];
    CHECK(tests::within(got[i], want[i], 4 * ulp));
    CHECK_FALSE(tests::within(got[i], 2.0 * want[i], 4 * ulp));
  }
}

TEMPLATE_TEST_CASE("sigmoid: the ends", "[router][score]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const R max = std::numeric_limits<R>::max();
  CHECK(tests::same_bits(tests::scores_of<R>(Sigmoid{}, {inf, -inf, max, -max, R(1e4), R(-1e4)}),
                         {1, 0, 1, 0, 1, 0}));
  CHECK(tests::same_bits(tests::scores_of<R>(Sigmoid{}, {R(0), -R(0)}), {R(0.5), R(0.5)}));
  const std::vector<R> mixed = tests::scores_of<R>(Sigmoid{}, {nan, 0});  // every expert on its own
  CHECK(xmoe::is_nan(mixed[0]));
  CHECK(mixed[1] == R(0.5));
  for (const auto& row : tests::hard_rows<R>(7)) {
    INFO(row.name);
    const std::vector<R> s = tests::scores_of(Sigmoid{}, row.values);
    for (std::size_t e = 0; e < s.size(); ++e) {
      CHECK((xmoe::is_nan(row.values[e]) || (s[e] >= R(0) && s[e] <= R(1))));
    }
  }
}

TEST_CASE("sigmoid: the gradient by hand", "[router][score]") {
  const std::vector<double> z = {0.0, 0.5};
  const std::vector<double> s = tests::scores_of(Sigmoid{}, z);
  std::vector<double> dz = {1.0, 1.0};
  Sigmoid{}.row_backward(tests::in(z), tests::in(s), tests::in(std::vector<double>{4.0, -2.0}),
                         tests::out(dz));
  CHECK(dz[0] == 2.0);  // 1 + 4 * 0.25
  CHECK(tests::within(dz[1], 1.0 - 2.0 * s[1] * (1.0 - s[1]), 1e-15));
}

}  // namespace
}  // namespace xmoe
