// SPDX-License-Identifier: Apache-2.0
// expect: a column-major Eigen matrix cannot be viewed as rows
// errors: 2
#include <xmoe/xmoe.hpp>

#include <Eigen/Core>

using namespace xmoe;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless>;
#if defined(XMOE_BAD)
using Matrix = Eigen::MatrixXf;
#else
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#endif

Summary run(const Layer& layer, const Matrix& x, Matrix& y) { return layer.forward(x, y); }
