// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

#include <cmath>
#include <span>

namespace lm {

/// Sum over the rows of -log p(target), p the softmax of the logits. Turns the logits into their
/// gradient, for a loss that is this sum times `factor`.
///
///   logits [n,V] -> (p - one_hot(target)) * factor
template <class S>
double cross_entropy(Out<S> logits, std::span<const std::int32_t> target, S factor) {
  double total = 0;
  for (index i = 0; i < logits.rows(); ++i) {
    auto row = logits.row(i).array();
    const index wanted = target[size(i)];
    const S highest = row.maxCoeff();
    const S logit = row(wanted) - highest;
    row = (row - highest).exp();
    const S sum = row.sum();
    total += std::log(static_cast<double>(sum)) - static_cast<double>(logit);
    row *= factor / sum;
    row(wanted) -= factor;
  }
  return total;
}

}  // namespace lm
