// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstddef>
#include <limits>

namespace tests {

/// The one source of tolerances: c * eps(S) * sqrt(K) * scale.
///
///   K      length of the longest chain of additions behind a number
///   scale  largest magnitude of the TRUE result (not of what is compared with it)
///   c      4 roundings of the inputs of a chain; a chain of several stages passes the sum of K's
template <class S>
double tolerance(std::ptrdiff_t chain, double scale, double c = 4.0) {
  return c * static_cast<double>(std::numeric_limits<S>::epsilon()) *
         std::sqrt(static_cast<double>(chain < 1 ? 1 : chain)) * scale;
}

/// How far a figure printed with `digits` decimals may lie from the number it stands for.
inline double half_unit(int digits) { return 0.5000001 * std::pow(10.0, -digits); }

inline bool within(double got, double want, double allowed) {
  return std::abs(got - want) <= allowed;  // false for NaN
}

}  // namespace tests
