// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>
#include <xmoe/metrics/distribution.hpp>

namespace xmoe::inline XMOE_ABI::metrics {

/// How sure a router is, means over the tokens. Of no token: zeros.
struct Confidence {
  index tokens = 0;      ///< without padding
  double entropy = 0.0;  ///< nats: 0 .. ln E; near ln E the gate is close to uniform
  double top = 0.0;      ///< largest probability: 1/E .. 1
  double margin = 0.0;   ///< largest less second largest: 0 .. 1; 1 for a single expert
};

/// Reads probabilities, or other scores whose rows are divided by their sums. A row without a
/// positive finite sum gives entropy, top and margin 0.
///
///   in      p [T,E]
///           valid [T]   0 = padding; empty = no padding
///   cost    O(T E)
///   throws  shape_error if the mask does not fit
template <class R>
Confidence confidence(MatrixView<const R> p, VectorView<const std::uint8_t> valid = {}) {
  detail::check_mask("xmoe::metrics::confidence", valid, p.rows());
  Confidence c;
  for (index t = 0; t < p.rows(); ++t) {
    if (!is_real(valid, t)) {
      continue;
    }
    ++c.tokens;
    const double sum = positive_sum(p.row(t));
    if (!(sum > 0.0)) {
      continue;
    }
    double first = 0.0, second = 0.0;
    for (const R score : p.row(t)) {
      const double q = static_cast<double>(score) / sum;
      second = q > first ? first : (q > second ? q : second);
      first = q > first ? q : first;
    }
    c.entropy += entropy(p.row(t));
    c.top += first;
    c.margin += first - second;
  }
  if (c.tokens > 0) {
    c.entropy /= static_cast<double>(c.tokens);
    c.top /= static_cast<double>(c.tokens);
    c.margin /= static_cast<double>(c.tokens);
  }
  return c;
}

}  // namespace xmoe::inline XMOE_ABI::metrics
