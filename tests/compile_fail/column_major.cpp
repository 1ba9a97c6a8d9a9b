// SPDX-License-Identifier: Apache-2.0
// expect: a column-major Eigen matrix cannot be viewed as rows
#include <xmoe/core/view.hpp>

#include <Eigen/Core>

#if defined(XMOE_BAD)
using Matrix = Eigen::MatrixXf;
#else
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#endif

xmoe::index rows(const Matrix& x) { return xmoe::In<float>(x).rows(); }
