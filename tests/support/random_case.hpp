// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <cstdint>

#include "reference.hpp"

namespace tests {

using reference::index;

/// A generator whose numbers are the same everywhere (splitmix64). One seed makes one case; tests
/// show it with INFO.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  index below(index n) { return static_cast<index>(bits() % static_cast<std::uint64_t>(n)); }
  /// Standard normal, rounded to float, so that float and double layers see the same number.
  double normal() {
    const double u = 1.0 - uniform();
    const double v = uniform();
    const double n = std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * reference::pi * v);
    return static_cast<double>(static_cast<float>(n));
  }
  void fill(reference::Vector& values, double scale) {
    const double s = static_cast<double>(static_cast<float>(scale));
    for (double& v : values) {
      v = static_cast<double>(static_cast<float>(s * normal()));
    }
  }

 private:
  std::uint64_t state_;
};

/// The sizes of a case.
struct Shape {
  index tokens = 16;
  index experts = 4;
  index dim = 8;
  index hidden = 8;
};

/// What a random case starts from; everything else of the setup is filled in.
struct CaseOptions {
  Shape shape{};
  reference::Router router{};
  reference::Capacity capacity{};
  reference::Activation activation = reference::Activation::relu;
  bool gated = false;
  bool biases = true;
  bool gate_bias = false;
  double logit_spread = 1.0;  ///< standard deviation of the logits
};

struct Case {
  reference::Setup setup;
  reference::Matrix x;
  reference::Matrix dy;
};

/// Numbers of unit size all through the layer, so that no stage hides behind another.
inline Case random_case(std::uint64_t seed, const CaseOptions& options) {
  Generator random(seed);
  const Shape shape = options.shape;
  const auto root = [](index n) { return std::sqrt(static_cast<double>(n < 1 ? 1 : n)); };
  Case c;
  reference::Setup& s = c.setup;
  s.router = options.router;
  s.router.threshold = static_cast<double>(static_cast<float>(s.router.threshold));
  s.capacity = options.capacity;
  const index outputs = shape.experts + (s.router.placeholder ? 1 : 0);
  s.router.weight = reference::Matrix(outputs, shape.dim);
  random.fill(s.router.weight.values, options.logit_spread / root(shape.dim));
  if (options.gate_bias) {
    s.router.bias.resize(static_cast<std::size_t>(outputs));
    random.fill(s.router.bias, 0.5);
  }
  s.experts.activation = options.activation;
  s.experts.gated = options.gated;
  s.experts.biases = options.biases;
  const index rows = options.gated ? 2 * shape.hidden : shape.hidden;
  s.experts.up = reference::Stack(shape.experts, rows, shape.dim);
  s.experts.up_bias = reference::Stack(shape.experts, rows, 1);
  s.experts.down = reference::Stack(shape.experts, shape.dim, shape.hidden);
  s.experts.down_bias = reference::Stack(shape.experts, shape.dim, 1);
  random.fill(s.experts.up.values, 1.0 / root(shape.dim));
  random.fill(s.experts.down.values, 1.0 / root(shape.hidden));
  if (options.biases) {
    random.fill(s.experts.up_bias.values, 0.3);
    random.fill(s.experts.down_bias.values, 0.3);
  }
  c.x = reference::Matrix(shape.tokens, shape.dim);
  c.dy = reference::Matrix(shape.tokens, shape.dim);
  random.fill(c.x.values, 1.0);
  random.fill(c.dy.values, 1.0);
  return c;
}

/// Freezes the choice and the drops of a forward pass, so that small changes of the inputs move
/// neither.
inline reference::Setup frozen(reference::Setup setup, const reference::Forward& f) {
  setup.pinned.emplace();
  setup.pinned_kept.emplace();
  for (const auto& row : f.chosen) {
    setup.pinned->push_back(reference::outputs_of(row));
    setup.pinned_kept->emplace_back();
    for (const auto& claim : row) {
      setup.pinned_kept->back().push_back(claim.kept);
    }
  }
  return setup;
}

}  // namespace tests
