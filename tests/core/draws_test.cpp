// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/draws.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/catch.hpp"

namespace xmoe {
namespace {

/// Largest distance between the empirical distribution and `cdf`, times sqrt(n).
template <class Cdf>
double kolmogorov(std::vector<double> draws, const Cdf& cdf) {
  std::sort(draws.begin(), draws.end());
  const auto n = static_cast<double>(draws.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const double p = cdf(draws[i]);
    worst = std::max({worst, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return worst * std::sqrt(n);
}
double uniform_cdf(double x) { return std::min(std::max(x, 0.0), 1.0); }
double exponential_cdf(double x) { return x < 0.0 ? 0.0 : 1.0 - std::exp(-x); }
double gumbel_cdf(double x) { return std::exp(-std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

template <class R, class Draw>
std::vector<double> sample(const Draw& draw) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    values.push_back(static_cast<double>(draw(Random{.seed = 3}.fork(7), i)));
  }
  return values;
}

// 1.63 is exceeded by chance once in a hundred seeds; this one is fixed. The twins are far above.
TEMPLATE_TEST_CASE("draws: distributions", "[core][draws]", float, double) {
  using R = TestType;
  const auto uniform = sample<R>(draws::uniform<R>);
  const auto exponential = sample<R>(draws::exponential<R>);
  const auto gumbel = sample<R>(draws::gumbel<R>);
  const auto normal = sample<R>(draws::normal<R>);
  CHECK(kolmogorov(uniform, uniform_cdf) < 1.63);
  CHECK(kolmogorov(exponential, exponential_cdf) < 1.63);
  CHECK(kolmogorov(gumbel, gumbel_cdf) < 1.63);
  CHECK(kolmogorov(normal, normal_cdf) < 1.63);
  CHECK(kolmogorov(gumbel, normal_cdf) > 10.0);
  CHECK(kolmogorov(normal, [](double x) { return normal_cdf(1.1 * x); }) > 2.0);
}

TEST_CASE("draws: the ends are finite", "[core][draws]") {
  for (const std::uint32_t word : {0u, 0xffffffffu, 511u, 0x80000000u}) {
    const float u = draws::detail::inside<float>(word);
    CHECK((u > 0.f && u < 1.f));
    CHECK(std::isfinite(-math::log(-math::log(u))));
    const double v = draws::detail::inside<double>(word);
    CHECK((v > 0.0 && v < 1.0));
  }
}

TEST_CASE("draws: functions of stream and position", "[core][draws]") {
  const Random a{.seed = 1, .stream = 2};
  CHECK(draws::gumbel<float>(a, 5) == draws::gumbel<float>(a, 5));
  CHECK(draws::gumbel<float>(a, 5) != draws::gumbel<float>(a, 6));
  CHECK(draws::gumbel<float>(a, 5) != draws::gumbel<float>(a.fork(1), 5));
  CHECK(draws::normal<float>(a, 5) == Approx(draws::normal<double>(a, 5)).epsilon(1e-5));
}

}  // namespace
}  // namespace xmoe
