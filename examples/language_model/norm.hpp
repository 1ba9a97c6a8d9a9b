// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

#include <cmath>

namespace lm {

/// y = gain * (x - mean) / deviation + bias, for every row by itself.
///
///   source  J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016
template <class S>
struct Norm {
  Panels<S> gain, bias;  // [D]

  explicit Norm(index dim) : gain(dense<S>(1, dim)), bias(dense<S>(1, dim)) {
    rows_of(gain).setOnes();
  }

  /// What backward needs.
  struct Saved {
    Matrix<S> unit;          // [T,D] (x - mean) / deviation
    Matrix<S> inverse;       // [T,1] 1 / deviation
    Matrix<S> dgain, dbias;  // [B,D] one row a sequence, so that sequences do not meet

    Saved(index sequences, index tokens, index dim)
        : unit(tokens, dim), inverse(tokens, 1), dgain(sequences, dim), dbias(sequences, dim) {}
  };

  /// x [n,D] -> y [n,D], rows first .. first+n-1 of the batch.
  void forward(index first, In<S> x, Out<S> y, Saved& saved) const {
    for (index i = 0; i < x.rows(); ++i) {
      auto unit = saved.unit.row(first + i);
      unit = x.row(i).array() - x.row(i).mean();
      const S variance = unit.squaredNorm() / static_cast<S>(x.cols());
      const S inverse = S(1) / std::sqrt(variance + S(1e-5));
      unit *= inverse;
      saved.inverse(first + i) = inverse;
      y.row(i) = unit.array() * rows_of(gain).array() + rows_of(bias).array();
    }
  }

  /// dy [n,D] -> dx [n,D], ADDED to what dx holds: the norm stands beside a residual.
  void backward(index sequence, index first, In<S> dy, Out<S> dx, Saved& saved) const {
    auto dgain = saved.dgain.row(sequence);
    auto dbias = saved.dbias.row(sequence);
    dgain.setZero();
    dbias.setZero();
    Eigen::Array<S, 1, Eigen::Dynamic> dunit(dy.cols());
    for (index i = 0; i < dy.rows(); ++i) {
      const auto unit = saved.unit.row(first + i).array();
      dgain.array() += dy.row(i).array() * unit;
      dbias += dy.row(i);
      dunit = dy.row(i).array() * rows_of(gain).array();
      const S mean = dunit.mean();
      const S slope = (dunit * unit).mean();
      dx.row(i).array() += saved.inverse(first + i) * (dunit - mean - unit * slope);
    }
  }

  /// After backward of all sequences.
  void weight_gradient(const Saved& saved, Norm& gradient) const {
    for (index b = 0; b < saved.dgain.rows(); ++b) {
      rows_of(gradient.gain) += saved.dgain.row(b);
      rows_of(gradient.bias) += saved.dbias.row(b);
    }
  }
};

}  // namespace lm
