// SPDX-License-Identifier: Apache-2.0
#include <xmoe/xmoe.hpp>

#include <Eigen/Core>

#include <cstdio>

using namespace xmoe;

// XMoE: small experts; a token engages the most probable ones until their mass reaches a threshold,
// an expert takes no more tokens than its capacity.
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity>;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
  Layer layer({.model_dim = 768, .experts = 64, .expert_dim = 384},
              {.router = {.select = {.threshold = 0.9f}}, .dispatch = {.factor = 8.0}});
  layer.initialize({.seed = 1});

  const Matrix x = Matrix::Random(256, 768);  // [T,D], one row a token
  Matrix y(256, 768);
  const Summary summary = layer.forward(x, y);  // the routed part; the residual x + y is yours

  std::printf("%td tokens want %td assignments, %td fit: %.2f experts a token\n", summary.tokens,
              summary.wanted, summary.kept, summary.experts_per_token());
}
