// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/softmax.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::score::Softmax;
template <class R>
constexpr R infinity = std::numeric_limits<R>::infinity();

TEMPLATE_TEST_CASE("softmax: the formula", "[router][score]", float, double) {
  using R = TestType;
  tests::Generator random(11);
  for (const tests::index n : {1, 2, 3, 7, 8, 60, 64}) {
    const reference::Vector z = tests::normals(random, n, 3.0);
    const reference::Vector want = reference::softmax(z);
    const reference::Vector got = tests::wide(tests::scores_of(Softmax{}, tests::narrow<R>(z)));
    INFO(n << " experts");
    // an exponential below 2 ulp of arguments rounded at up to 20, then one division
    tests::check_close<R>("scores", got, want, 16 + n);
    double sum = 0.0;
    for (const double p : got) {
      sum += p;
    }
    CHECK(tests::within(
        sum, 1.0,
        4.0 * static_cast<double>(n) * static_cast<double>(std::numeric_limits<R>::epsilon())));
    if (n > 1) {  // twin: the same comparison refuses another row
      const double allowed = tests::tolerance<R>(16 + n, tests::magnitude(want));
      CHECK_FALSE(
          tests::difference(reference::softmax(tests::normals(random, n)), want, allowed).close);
    }
  }
}

TEMPLATE_TEST_CASE("softmax: tabulated", "[router][score]", float, double) {
  using R = TestType;
  const auto close = [](const std::vector<R>& z, const reference::Vector& want) {
    return tests::relative_error(tests::wide(tests::scores_of(Softmax{}, z)), want) <
           8 * static_cast<double>(std::numeric_limits<R>::epsilon());
  };
  CHECK(close({0, 0, 0, 0}, {0.25, 0.25, 0.25, 0.25}));
  CHECK(close({0, 1}, {0.2689414213699951, 0.7310585786300049}));
  CHECK(close({R(1e4), R(1e4)}, {0.5, 0.5}));
  CHECK(close({R(-1e30), R(-1e30), R(-1e30), R(-1e30)}, {0.25, 0.25, 0.25, 0.25}));
  CHECK(close({R(1e4), R(-1e4)}, {1.0, 0.0}));
  CHECK(close({std::numeric_limits<R>::max(), std::numeric_limits<R>::lowest()}, {1.0, 0.0}));
  CHECK(close({std::numeric_limits<R>::denorm_min(), 0}, {0.5, 0.5}));
  CHECK_FALSE(close({0, 1}, {0.7310585786300049, 0.2689414213699951}));
}

TEMPLATE_TEST_CASE("softmax: masked and broken rows", "[router][score]", float, double) {
  using R = TestType;
  const R inf = infinity<R>;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(tests::same_bits(tests::scores_of<R>(Softmax{}, {-inf, 0, -inf}), {0, 1, 0}));
  CHECK(tests::same_bits(tests::scores_of<R>(Softmax{}, {-inf, -inf}), {0, 0}));
  for (const std::vector<R>& row : std::vector<std::vector<R>>{{nan, 0, 1},
                                                               {0, nan, 1},
                                                               {0, 1, nan},
                                                               {nan, nan, nan},
                                                               {inf, 0, 1},
                                                               {0, 1, inf},
                                                               {-inf, nan, -inf},
                                                               {nan, -inf, -inf}}) {
    const std::vector<R> scores = tests::scores_of(Softmax{}, row);
    CAPTURE(row[0], row[1], row[2]);
    for (const R s : scores) {
      CHECK(xmoe::is_nan(s));
    }
  }
}

TEST_CASE("softmax: the gradient adds to what is there", "[router][score]") {
  const std::vector<double> z = {0.0, 1.0};
  const std::vector<double> s = tests::scores_of(Softmax{}, z);
  const std::vector<double> g = {1.0, 3.0};
  std::vector<double> dz = {10.0, 20.0};
  Softmax{}.row_backward(tests::in(z), tests::in(s), tests::in(g), tests::out(dz));
  const double product = s[0] * s[1];  // dz_0 = s_0 (g_0 - <g,s>) = s_0 s_1 (g_0 - g_1)
  CHECK(tests::relative_error(dz, {10.0 - 2.0 * product, 20.0 + 2.0 * product}) < 1e-15);
  CHECK(tests::relative_error(dz, {10.0 + 2.0 * product, 20.0 - 2.0 * product}) > 1e-2);
}

}  // namespace
}  // namespace xmoe
