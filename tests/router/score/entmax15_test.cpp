// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/entmax15.hpp>
#include <xmoe/router/score/sparsemax.hpp>

#include <functional>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::Entmax15;
using xmoe::score::Softmax;
using xmoe::score::Sparsemax;

/// By sorting and one square root for each size of the support, in double.
reference::Vector by_sorting(const reference::Vector& z) {
  std::vector<double> x = z;
  std::sort(x.begin(), x.end(), std::greater<>());
  const double top = x[0];
  double sum = 0.0, squares = 0.0, tau = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double v = 0.5 * (x[k] - top);
    const double size = static_cast<double>(k) + 1.0;
    sum += v;
    squares += v * v;
    const double spread = squares - sum * sum / size;
    const double one = sum / size - std::sqrt(std::max(0.0, (1.0 - spread) / size));
    if (one > v) {
      break;
    }
    tau = one;
  }
  reference::Vector s;
  for (const double v : z) {
    const double q = std::max(0.5 * (v - top) - tau, 0.0);
    s.push_back(q * q);
  }
  return s;
}

TEST_CASE("entmax 1.5: published figures", "[router][score]") {
  const reference::Vector want = {.00038936, .68063227, .19225374, .00166054,
                                  0,         0,         .01076248, .11430161};
  const std::vector<double> z = tests::wave_row(0);
  const reference::Vector got = tests::scores_of(Entmax15{}, z);
  CHECK(tests::difference(got, want, 1e-8).close);
  CHECK((got[4] == 0.0 && got[5] == 0.0));
  CHECK_FALSE(tests::difference(tests::scores_of(Softmax{}, z), want, 1e-2).close);
  CHECK_FALSE(tests::difference(tests::scores_of(Sparsemax{}, z), want, 1e-2).close);
}

TEMPLATE_TEST_CASE("entmax 1.5: as by sorting", "[router][score]", float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  tests::each_random_row<R>(51, [&](const std::vector<R>& z) {
    const reference::Vector want = by_sorting(tests::wide(z));
    const reference::Vector got = tests::wide(tests::scores_of(Entmax15{}, z));
    const tests::Difference d = tests::difference(got, want, 8 * eps);
    CAPTURE(d.got, d.want);
    CHECK(d.close);
    double sum = 0.0;
    for (const double s : got) {
      sum += s;
    }
    CHECK(tests::within(sum, 1.0, 2 * eps * static_cast<double>(z.size())));
    if (z.size() > 3) {  // twin
      CHECK_FALSE(tests::difference({want.rbegin(), want.rend()}, want, 8 * eps).close);
    }
  });
}

TEMPLATE_TEST_CASE("entmax 1.5: closed forms and hard rows", "[router][score]", float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  const auto close = [&](const std::vector<R>& z, const reference::Vector& want) {
    return tests::difference(tests::wide(tests::scores_of(Entmax15{}, z)), want, 4 * eps).close;
  };
  CHECK(close({R(0.3)}, {1}));
  CHECK(close({7, 7, 7, 7}, reference::Vector(4, 0.25)));
  CHECK(close({R(-1e30), R(-1e30)}, {0.5, 0.5}));
  CHECK(tests::scores_of<R>(Entmax15{}, {0, 2}) == std::vector<R>{0, 1});
  CHECK(tests::scores_of<R>(Entmax15{}, {0, 9, 7}) == std::vector<R>{0, 1, 0});
  // two experts, d = half of their distance: q + (q - d) with q^2 + (q - d)^2 = 1
  const double d = 0.25, q = (d + std::sqrt(2.0 - d * d)) / 2.0;
  CHECK(close({R(0.5), 0}, {q * q, (q - d) * (q - d)}));
  CHECK_FALSE(close({R(0.5), 0}, {(q - d) * (q - d), q * q}));
  CHECK(tests::scores_of<R>(Entmax15{},
                            {std::numeric_limits<R>::max(), std::numeric_limits<R>::lowest()}) ==
        std::vector<R>{1, 0});
  CHECK(tests::scores_of<R>(Entmax15{}, {1, 0})[1] > R(0));  // where Sparsemax has a 0
  tests::check_masked<R>(Entmax15{});
  tests::check_broken<R>(Entmax15{});
}

TEST_CASE("entmax 1.5: gradients", "[router][score]") {
  tests::check_score_gradients(
      Entmax15{}, [](const auto&) { return true; },  // smooth, also at the edge of the support
      [](auto& dz, const auto& s) {
        for (std::size_t e = 0; e < dz.size(); ++e) {
          dz[e] *= std::sqrt(s[e]);
        }
      });
}

TEST_CASE("entmax 1.5: a constant added to the row changes nothing", "[router][score]") {
  CHECK(tests::ignores_shift(Entmax15{}));
}

}  // namespace
}  // namespace xmoe
