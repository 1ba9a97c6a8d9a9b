// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/panels.hpp>
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI {

/// Where the rows of a plan meet again: out[token[m]] += weight[m] * row m, m ascending, so by
/// expert. The order of a token's sums depends on its own experts alone, by their numbers.
///
///   token   [M]    ascending inside of an expert
///   weight  [M]    null: all 1
///   out     [T,D]
template <class S, class R = S>
struct RowSum {
  const std::int32_t* token = nullptr;
  const R* weight = nullptr;
  MatrixView<S> out;

  /// Zeros, before the first row is added.
  void clear() const {
    for (index t = 0; t < out.rows(); ++t) {
      S* const row = out.row_data(t);
      for (index d = 0; d < out.cols(); ++d) {
        row[d] = S(0);
      }
    }
  }
  S factor(index m) const { return weight == nullptr ? S(1) : static_cast<S>(weight[m]); }
  /// Adds `count` numbers of row m, columns [col, col + count). One thread at a time for a token.
  void add(index m, index col, index count, const S* numbers) const {
    S* const to = out.row_data(token[m]) + col;
    const S w = factor(m);
    for (index j = 0; j < count; ++j) {
      to[j] += w * numbers[j];
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI
