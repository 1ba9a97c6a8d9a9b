// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/xmoe.hpp>

#include <Eigen/Core>

// One training step of a small layer, as a user would write it. In both files of the program, with
// internal linkage, so that each file compiles its own.
namespace {

using Layer =
    xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::Threshold>,
                   xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Capacity>;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Sum of all magnitudes of the output and of the gradient of the input.
double step() {
  constexpr xmoe::index tokens = 37;
  constexpr xmoe::index dim = 48;
  Layer layer({.model_dim = dim, .experts = 8, .expert_dim = 24},
              {.router = {.select = {.threshold = 0.6f}}, .dispatch = {.factor = 4.0}},
              xmoe::cpu::Backend(2));
  layer.initialize({.seed = 1});

  Matrix x(tokens, dim);
  const xmoe::Random random{2, 3};
  for (xmoe::index i = 0; i < x.size(); ++i) {
    x.data()[i] = 2.f * random.uniform(static_cast<std::uint64_t>(i)) - 1.f;
  }
  Matrix y(tokens, dim);
  Matrix dx(tokens, dim);
  Layer::Tape tape;
  Layer::Gradients gradients = layer.make_gradients();
  layer.record(x, y, tape);
  layer.backward(tape, y, dx, gradients);

  double sum = 0;
  for (xmoe::index i = 0; i < y.size(); ++i) {
    sum += static_cast<double>(std::abs(y.data()[i])) + static_cast<double>(std::abs(dx.data()[i]));
  }
  return sum;
}

}  // namespace
