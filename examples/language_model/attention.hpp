// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "linear.hpp"

#include <cmath>

namespace lm {

/// Causal self-attention over one sequence at a time: every unit looks back at itself and at those
/// before it.
///
///   source  A. Vaswani et al., "Attention is all you need", 2017
template <class S>
struct Attention {
  index heads;
  Linear<S> query_key_value;  // [3D,D] queries, keys, values; a head's columns lie side by side
  Linear<S> output;           // [D,D]

  Attention(index dim, index head_count)
      : heads(head_count), query_key_value(3 * dim, dim), output(dim, dim) {}

  /// What backward needs, and what it leaves for weight_gradient.
  struct Saved {
    Matrix<S> projected;    // [T,3D]
    Matrix<S> probability;  // [B*heads*L,L]
    Matrix<S> mixed;        // [T,D] values, averaged
    Matrix<S> dprojected;   // [T,3D]

    Saved(index tokens, index length, index dim, index heads)
        : projected(tokens, 3 * dim),
          probability(tokens * heads, length),
          mixed(tokens, dim),
          dprojected(tokens, 3 * dim) {}
  };

  /// x [L,D] -> y [L,D] for one sequence.
  void forward(index sequence, In<S> x, Out<S> y, Saved& saved) const {
    const index length = x.rows(), dim = x.cols(), width = dim / heads;
    const S scale = S(1) / std::sqrt(static_cast<S>(width));
    auto all = saved.projected.middleRows(sequence * length, length);
    auto mixed = saved.mixed.middleRows(sequence * length, length);
    query_key_value.forward(x, all);
    for (index h = 0; h < heads; ++h) {
      const auto query = all.middleCols(h * width, width);
      const auto key = all.middleCols(dim + h * width, width);
      const auto value = all.middleCols(2 * dim + h * width, width);
      auto p = probabilities(sequence, h, length, saved);  // [L,L]
      p.noalias() = query * key.transpose();
      for (index i = 0; i < length; ++i) {
        auto past = p.row(i).head(i + 1).array();
        past = ((past - past.maxCoeff()) * scale).exp();
        past /= past.sum();
        p.row(i).tail(length - i - 1).setZero();
      }
      mixed.middleCols(h * width, width).noalias() = p * value;
    }
    output.forward(mixed, y);
  }

  /// dy [L,D] -> dx [L,D] for one sequence.
  void backward(index sequence, In<S> dy, Out<S> dx, Saved& saved) const {
    const index length = dy.rows(), dim = dy.cols(), width = dim / heads;
    const S scale = S(1) / std::sqrt(static_cast<S>(width));
    const auto all = saved.projected.middleRows(sequence * length, length);
    auto dall = saved.dprojected.middleRows(sequence * length, length);
    Matrix<S> dmixed(length, dim), dscore(length, length);
    output.backward(dy, dmixed);
    for (index h = 0; h < heads; ++h) {
      const auto query = all.middleCols(h * width, width);
      const auto key = all.middleCols(dim + h * width, width);
      const auto value = all.middleCols(2 * dim + h * width, width);
      const auto dhead = dmixed.middleCols(h * width, width);
      const auto p = probabilities(sequence, h, length, saved);
      dscore.noalias() = dhead * value.transpose();  // gradient of p
      for (index i = 0; i < length; ++i) {
        const S inner = dscore.row(i).dot(p.row(i));
        dscore.row(i).array() = (dscore.row(i).array() - inner) * p.row(i).array() * scale;
      }
      dall.middleCols(h * width, width).noalias() = dscore * key;
      dall.middleCols(dim + h * width, width).noalias() = dscore.transpose() * query;
      dall.middleCols(2 * dim + h * width, width).noalias() = p.transpose() * dhead;
    }
    query_key_value.backward(dall, dx);
  }

  /// After backward of all sequences; x and dy are those of forward and backward, all tokens [T,D].
  void weight_gradient(const xmoe::cpu::Backend& backend, In<S> dy, In<S> x, const Saved& saved,
                       Attention& gradient) const {
    output.weight_gradient(backend, dy, saved.mixed, gradient.output);
    query_key_value.weight_gradient(backend, saved.dprojected, x, gradient.query_key_value);
  }

 private:
  auto probabilities(index sequence, index head, index length, Saved& saved) const {
    return saved.probability.middleRows((sequence * heads + head) * length, length);
  }
};

}  // namespace lm
