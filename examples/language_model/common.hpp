// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/xmoe.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <stdexcept>
#include <string>

// Words that all files of the example share.
//
//   B sequences of a batch    L units of a sequence    T = B*L tokens    D width of the model    V
//   units in all
namespace lm {

using xmoe::index;
using xmoe::Panels;
using xmoe::Parameters;

/// A mistake of the user (an option, a file), said in one line; the program ends with code 2.
struct user_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Activations: one row a token.
template <class S>
using Matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
/// Some rows (and columns) of a matrix, read or written in place.
template <class S>
using In = const Eigen::Ref<const Matrix<S>, 0, Eigen::OuterStride<>>&;
template <class S>
using Out = Eigen::Ref<Matrix<S>, 0, Eigen::OuterStride<>>;

/// A dense weight [rows,cols] is kept as a stack of `rows` vectors in the library's own tensor
/// type: one list of parameters, one optimizer and one checkpoint then serve the whole model.
template <class S>
Panels<S> dense(index rows, index cols) {
  return Panels<S>(rows, cols, 1);
}
template <class S>
auto rows_of(Panels<S>& weight) {
  return Eigen::Map<Matrix<S>, 0, Eigen::OuterStride<>>(
      weight.matrix(0), weight.count(), weight.rows(), Eigen::OuterStride<>(weight.matrix_size()));
}
template <class S>
auto rows_of(const Panels<S>& weight) {
  return Eigen::Map<const Matrix<S>, 0, Eigen::OuterStride<>>(
      weight.matrix(0), weight.count(), weight.rows(), Eigen::OuterStride<>(weight.matrix_size()));
}

/// Fills a weight with normal numbers of the given deviation.
template <class S>
void fill_normal(Panels<S>& weight, double deviation, xmoe::Random random) {
  auto w = rows_of(weight);
  for (index i = 0; i < w.rows(); ++i) {
    for (index j = 0; j < w.cols(); ++j) {
      const auto position = static_cast<std::uint64_t>(i * w.cols() + j);
      w(i, j) = static_cast<S>(deviation * random.normal(position));
    }
  }
}

inline std::size_t size(index i) { return static_cast<std::size_t>(i); }

}  // namespace lm
