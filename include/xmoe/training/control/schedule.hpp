// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/error.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::control {

/// A hyper-parameter that moves while a model trains: k, a temperature, a threshold, a capacity
/// factor. Before step `begin` it is `first`, from step `end` on it is `last`.
///
///   linear       first + (last - first) * f,           f = (step - begin) / (end - begin)
///   geometric    first * (last / first)^f              both positive
///   throws       value_error if end < begin, if a number is not finite, or for a geometric path
///                through 0
///   source       arXiv 2303.01610 (k grows linearly), arXiv 2112.14397 (temperature falls)
struct Schedule {
  enum class Path { linear, geometric };

  double first = 1.0;
  double last = 1.0;
  index begin = 0;
  index end = 1;
  Path path = Path::linear;

  double at(index step) const {
    if (end < begin || !is_finite(first) || !is_finite(last) ||
        (path == Path::geometric && (first <= 0.0 || last <= 0.0))) {
      detail::fail<value_error>(
          "xmoe::control::Schedule: from %g at step %td to %g at step %td; need finite numbers "
          "(positive ones for a geometric path) and begin <= end",
          first, begin, last, end);
    }
    if (step <= begin || step >= end) {
      return step >= end ? last : first;
    }
    const double f = static_cast<double>(step - begin) / static_cast<double>(end - begin);
    return path == Path::linear ? first + (last - first) * f : first * std::pow(last / first, f);
  }
  /// For counts such as k: `first` plus the rounded rest, halves to the even number.
  index count_at(index step) const {
    return static_cast<index>(first) + static_cast<index>(std::nearbyint(at(step) - first));
  }
};

}  // namespace xmoe::inline XMOE_ABI::control
