// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

#include <Eigen/Core>

namespace xmoe::inline XMOE_ABI::interop {

/// A row-major matrix that owns its numbers; converts to MatrixView.
template <class S>
using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A row-major copy of any dense Eigen expression, column-major matrices included.
template <class Derived>
RowMajor<typename Derived::Scalar> row_major(const Eigen::DenseBase<Derived>& matrix) {
  return matrix;
}

/// A view as an Eigen map, without a copy.
template <class S>
auto map(MatrixView<S> view) {
  using Plain = RowMajor<std::remove_const_t<S>>;
  using Target = std::conditional_t<std::is_const_v<S>, const Plain, Plain>;
  return Eigen::Map<Target, 0, Eigen::OuterStride<>>(view.data(), view.rows(), view.cols(),
                                                     Eigen::OuterStride<>(view.stride()));
}

}  // namespace xmoe::inline XMOE_ABI::interop
