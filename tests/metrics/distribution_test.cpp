// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/distribution.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using tests::within;

TEST_CASE("distribution: quartiles of one, two and no values", "[metrics]") {
  std::vector<double> one = {3.0}, two = {2.0, 1.0}, none;
  const Distribution single = metrics::distribution(one);
  CHECK((single.least == 3.0 && single.median == 3.0 && single.most == 3.0 && single.mean == 3.0));
  const Distribution pair = metrics::distribution(two);
  CHECK((pair.least == 1.0 && pair.lower_quartile == 1.25 && pair.median == 1.5 &&
         pair.upper_quartile == 1.75 && pair.most == 2.0 && pair.mean == 1.5));
  CHECK(metrics::distribution(none).most == 0.0);
}

TEST_CASE("distribution: NaN goes last", "[metrics]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> values;
  for (index i = 0; i < 100; ++i) {  // long enough for the parts of std::sort that check no bounds
    values.push_back(i % 3 == 0 ? nan : static_cast<double>(100 - i));
  }
  const Distribution d = metrics::distribution(values);
  CHECK(d.least == 2.0);
  CHECK(is_nan(d.most));
  CHECK(std::is_sorted(values.begin(), values.begin() + 66));
}

TEST_CASE("quantile: by hand, held inside 0 .. 1", "[metrics]") {
  const std::vector<double> sorted = {1.0, 2.0, 4.0, 8.0, 16.0};
  CHECK(metrics::quantile(sorted, 0.0) == 1.0);
  CHECK(metrics::quantile(sorted, 0.5) == 4.0);
  CHECK(metrics::quantile(sorted, 0.625) == 6.0);
  CHECK(within(metrics::quantile(sorted, 0.9), 12.8, 1e-15));
  CHECK(metrics::quantile(sorted, 1.0) == 16.0);
  CHECK(metrics::quantile(sorted, -1.0) == 1.0);
  CHECK(metrics::quantile(sorted, 2.0) == 16.0);
  CHECK(metrics::quantile(sorted, std::numeric_limits<double>::quiet_NaN()) == 1.0);
  CHECK(metrics::quantile({}, 0.5) == 0.0);
}

TEST_CASE("variance: of the population", "[metrics]") {
  CHECK(metrics::variance({4.0, 2.0, 1.0, 1.0}) == 1.5);  // divided by n - 1 it were 2
  CHECK(metrics::variance({3.0, 3.0, 3.0}) == 0.0);
  CHECK(metrics::variance({7.0}) == 0.0);
  CHECK(metrics::variance({}) == 0.0);
}

/// entropy of a list.
template <class R>
double entropy_of(const std::vector<R>& row) {
  return metrics::entropy(tests::in(row));
}

TEST_CASE("entropy: 0 .. ln n, of the row over its sum", "[metrics]") {
  CHECK(within(entropy_of(std::vector<float>(8, 0.25f)), std::log(8.0), 1e-15));
  CHECK(entropy_of<double>({0.0, 3.0, 0.0}) == 0.0);
  CHECK(within(entropy_of<double>({1.0, 3.0}), -0.25 * std::log(0.25) - 0.75 * std::log(0.75),
               1e-15));
  CHECK(entropy_of<double>({1.0, 3.0}) == entropy_of<double>({0.5, 1.5}));
  CHECK(entropy_of<double>({}) == 0.0);
  CHECK(entropy_of<double>({0.0, 0.0}) == 0.0);
  const double bad = GENERATE(std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(), -5.0);
  CHECK(entropy_of<double>({bad, 1.0, 1.0}) == 0.0);
}

}  // namespace
}  // namespace xmoe
