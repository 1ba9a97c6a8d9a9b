// SPDX-License-Identifier: Apache-2.0
// A host program with Eigen and the CPU backend that owns layers of two .cu files.
#include <xmoe/xmoe.hpp>

#include <Eigen/Core>

#include <cstdio>

#include "layers.hpp"

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Layer =
    xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::Threshold>,
                   xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Capacity>;

int main() {
  Layer host({.model_dim = 48, .experts = 8, .expert_dim = 24});
  host.initialize({.seed = 1});
  const Matrix x = Matrix::Random(37, 48);
  Matrix want(37, 48), y(37, 48);
  host.forward(x, want);
  for (const auto make : {make_first, make_second}) {
    try {
      const auto layer = make();
      layer->initialize(1);
      xmoe::interop::forward(*layer, x, y);
      const bool good = (y - want).norm() <= 1e-5f * want.norm() && want.norm() > 0.1f;
      std::puts(good ? "the device agrees with the CPU" : "the device disagrees");
      if (!good) {
        return 1;
      }
    } catch (const std::exception& e) {  // without a device: says which call, and why
      std::printf("no device: %s\n", e.what());
    }
  }
}
