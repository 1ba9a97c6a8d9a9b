// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/sparsemax.hpp>

#include <functional>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::Softmax;
using xmoe::score::Sparsemax;

/// By sorting, in double.
double threshold(std::vector<double> z) {
  std::sort(z.begin(), z.end(), std::greater<>());
  double sum = 0.0, tau = 0.0;
  for (std::size_t k = 0; k < z.size(); ++k) {
    sum += z[k];
    const double size = static_cast<double>(k) + 1.0;
    if (1.0 + size * z[k] > sum) {
      tau = (sum - 1.0) / size;
    }
  }
  return tau;
}
reference::Vector by_sorting(const reference::Vector& z) {
  const double tau = threshold(z);
  reference::Vector s;
  for (const double v : z) {
    s.push_back(std::max(v - tau, 0.0));
  }
  return s;
}

TEST_CASE("sparsemax: published figures", "[router][score]") {
  const std::vector<reference::Vector> want = {
      {0, .88653692, .11346308, 0, 0, 0, 0, 0},
      {.45485866, .06720421, 0, .39778959, 0, .08014754, 0, 0},
      {.00821738, 0, 0, 0, 0, 0, 0, .99178262},
      {0, 0, .54970689, 0, 0, 0, .45029311, 0}};
  const reference::Vector tau = {.72400730, 1.95403680, 1.28053605, 1.94764647};
  for (tests::index i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::vector<double> z = tests::wave_row(i);
    const reference::Vector got = tests::scores_of(Sparsemax{}, z);
    INFO("row " << i);
    CHECK(tests::difference(got, want[at], 1e-8).close);
    for (std::size_t e = 0; e < 8; ++e) {
      CHECK((got[e] > 0.0) == (want[at][e] > 0.0));  // zeros are exact
      CHECK((got[e] == 0.0 || tests::within(z[e] - got[e], tau[at], 1e-8)));
    }
    CHECK_FALSE(tests::difference(tests::scores_of(Softmax{}, z), want[at], 1e-2).close);
  }
}

TEMPLATE_TEST_CASE("sparsemax: as by sorting", "[router][score]", float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  tests::each_random_row<R>(41, [&](const std::vector<R>& z) {
    const reference::Vector want = by_sorting(tests::wide(z));
    const reference::Vector got = tests::wide(tests::scores_of(Sparsemax{}, z));
    double largest = 1.0;  // the difference of two logits is rounded once more
    for (const R v : z) {
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    const double allowed = sizeof(R) == 4 ? 4 * eps : 4 * eps * largest;
    const tests::Difference d = tests::difference(got, want, allowed);
    CAPTURE(d.got, d.want, allowed);
    CHECK(d.close);
    double sum = 0.0;
    for (const double s : got) {
      sum += s;
    }
    CHECK(tests::within(sum, 1.0, 2 * eps * static_cast<double>(z.size())));
  });
}

TEMPLATE_TEST_CASE("sparsemax: closed forms and hard rows", "[router][score]", float, double) {
  using R = TestType;
  const auto scores = [](const std::vector<R>& z) { return tests::scores_of(Sparsemax{}, z); };
  CHECK(scores({R(0.3)}) == std::vector<R>{1});
  CHECK(scores({7, 7, 7, 7}) == std::vector<R>(4, R(0.25)));
  CHECK(scores({0, 1}) == std::vector<R>{0, 1});
  CHECK(scores({0, 5, 4}) == std::vector<R>{0, 1, 0});
  CHECK(scores({R(0.5), 0}) == std::vector<R>{R(0.75), R(0.25)});
  CHECK(scores({R(-1e30), R(-1e30)}) == std::vector<R>{R(0.5), R(0.5)});
  CHECK(scores({std::numeric_limits<R>::max(), std::numeric_limits<R>::lowest()}) ==
        std::vector<R>{1, 0});
  // each expert lies just below the threshold of those before it: a round drops only the last
  std::vector<R> stairs = {0, R(-0.5)};
  double sum = -0.5, step = std::ldexp(1.0, -20);
  for (int k = 3; k <= 9; ++k) {
    stairs.push_back(static_cast<R>((sum - 1.0) / (k - 1) - step));
    sum += static_cast<double>(stairs.back());
    step *= k + 1;
  }
  CHECK(scores(stairs) == std::vector<R>{R(0.75), R(0.25), 0, 0, 0, 0, 0, 0, 0});
  tests::check_masked<R>(Sparsemax{});
  tests::check_broken<R>(Sparsemax{});
}

TEST_CASE("sparsemax: gradients away from the edge of the support", "[router][score]") {
  tests::check_score_gradients(
      Sparsemax{},
      [](const auto& z) {
        const double tau = threshold(z);
        return std::all_of(z.begin(), z.end(), [&](double v) { return std::abs(v - tau) > 1e-3; });
      },
      [](auto& dz, const auto& s) {  // twin: the weighted mean, as Softmax has it
        double mean = 0.0;
        for (std::size_t e = 0; e < dz.size(); ++e) {
          mean += s[e] * dz[e];
        }
        for (std::size_t e = 0; e < dz.size(); ++e) {
          dz[e] -= s[e] > 0.0 ? mean : 0.0;
        }
      });
}

TEST_CASE("sparsemax: a constant added to the row changes nothing", "[router][score]") {
  CHECK(tests::ignores_shift(Sparsemax{}));
}

}  // namespace
}  // namespace xmoe
