// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace xmoe::inline XMOE_ABI {

/// Five numbers and the mean; quartiles interpolate linearly between neighbours. Of nothing: zeros.
struct Distribution {
  double least = 0.0;
  double lower_quartile = 0.0;
  double median = 0.0;
  double upper_quartile = 0.0;
  double most = 0.0;
  double mean = 0.0;
};

namespace metrics {

/// The value below which a share of the values lies, between neighbours by linear interpolation.
///
///   in      sorted [n]   ascending
///           share        0 .. 1; 0.95 is the 95th percentile. Smaller counts as 0, larger as 1
///   out     0 of nothing
inline double quantile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) {
    return 0.0;
  }
  const double inside = share > 0.0 ? (share < 1.0 ? share : 1.0) : 0.0;
  const double place = inside * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = below + 1 < sorted.size() ? below + 1 : below;
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// Sorts the values, NaN last.
inline Distribution distribution(std::vector<double>& values) {
  Distribution d;
  if (values.empty()) {
    return d;
  }
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return is_nan(b) ? !is_nan(a) : a < b; });
  const auto at = [&](double share) { return quantile(values, share); };
  d = {values.front(), at(0.25), at(0.5), at(0.75), values.back(), 0.0};
  for (const double v : values) {
    d.mean += v / static_cast<double>(values.size());
  }
  return d;
}

/// Mean square of the distances from the mean, divided by n (population). 0 of nothing.
inline double variance(const std::vector<double>& values) {
  const double n = static_cast<double>(values.size());
  double sum = 0.0, result = 0.0;
  for (const double v : values) {
    sum += v;
  }
  for (const double v : values) {
    const double off = v - sum / n;
    result += off * off / n;
  }
  return result;
}

/// Sum of a row in double; 0 if there is nothing that a row could be divided by.
template <class R>
double positive_sum(VectorView<const R> row) {
  double sum = 0.0;
  for (const R p : row) {
    sum += static_cast<double>(p);
  }
  return is_finite(sum) && sum > 0.0 ? sum : 0.0;
}

/// -sum q ln q, in nats, of q = row / its sum: 0 .. ln of its length. A row whose sum is not
/// positive and finite says nothing: 0.
template <class R>
double entropy(VectorView<const R> row) {
  const double sum = positive_sum(row);
  double result = 0.0;
  if (sum > 0.0) {
    for (const R p : row) {
      const double q = static_cast<double>(p) / sum;
      result -= q > 0.0 ? q * std::log(q) : 0.0;
    }
  }
  return result;
}

}  // namespace metrics

}  // namespace xmoe::inline XMOE_ABI
