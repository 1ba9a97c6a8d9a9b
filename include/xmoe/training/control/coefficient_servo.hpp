// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/error.hpp>

namespace xmoe::inline XMOE_ABI::control {

/// Moves the coefficient of a sparsity loss until the measured activity meets its target: times
/// `factor` while there is too much, divided by it while there is too little.
///
///   in      activity: what is to be held, e.g. experts a token over E
///   ties    at the target nothing changes; neither does a call without tokens (activity NaN)
///   throws  value_error unless coefficient > 0 and factor > 1
///   source  arXiv 2412.14711 (factor 1.2, start 1e-8)
struct CoefficientServo {
  double target = 0.1;
  double factor = 1.2;

  /// The coefficient of the next step.
  double next(double coefficient, double activity) const {
    if (!is_finite(coefficient) || coefficient <= 0.0 || !is_finite(factor) || factor <= 1.0) {
      detail::fail<value_error>(
          "xmoe::control::CoefficientServo: coefficient %g, factor %g; must be above 0 and above 1",
          coefficient, factor);
    }
    return activity > target   ? coefficient * factor
           : activity < target ? coefficient / factor
                               : coefficient;
  }
};

}  // namespace xmoe::inline XMOE_ABI::control
