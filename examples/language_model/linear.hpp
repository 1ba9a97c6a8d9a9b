// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

namespace lm {

/// y = x W^T.
template <class S>
struct Linear {
  Panels<S> weight;  // [out,in]

  Linear(index out, index in) : weight(dense<S>(out, in)) {}

  /// x [n,in] -> y [n,out]
  void forward(In<S> x, Out<S> y) const { y.noalias() = x * rows_of(weight).transpose(); }

  /// dy [n,out] -> dx [n,in]
  void backward(In<S> dy, Out<S> dx) const { dx.noalias() = dy * rows_of(weight); }

  /// dW += dy^T x over all tokens, shared out by rows of W: every number is one sum in one order,
  /// whoever computes it.
  void weight_gradient(const xmoe::cpu::Backend& backend, In<S> dy, In<S> x,
                       Linear& gradient) const {
    constexpr index block = 48;
    auto dweight = rows_of(gradient.weight);
    backend.parallel((dweight.rows() + block - 1) / block, [&](index item, index) {
      const index first = item * block;
      const index count = std::min(block, dweight.rows() - first);
      dweight.middleRows(first, count).noalias() += dy.middleCols(first, count).transpose() * x;
    });
  }
};

}  // namespace lm
