// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "routings.hpp"

#include <xmoe/core/buffer.hpp>

#include <memory>

namespace xmoe_bench {

/// One workload's numbers, in plain layout, the same for everybody who computes with them.
struct Problem {
  Shape shape;
  xmoe::Buffer<float> x;     ///< [T,D]
  xmoe::Buffer<float> dy;    ///< [T,D]
  xmoe::Buffer<float> up;    ///< [E,H,D], or [E,2H,D]: gate rows, then up rows
  xmoe::Buffer<float> down;  ///< [E,D,H]
  std::vector<xmoe::Routing<float>> routings;

  Problem(const Shape& shape, Skew skew);

  /// Multiply-adds count two. Means over the routings.
  double flops() const;
  /// Bytes of the weights of the experts that run.
  double weight_bytes() const;
};

/// Memory for the gradients of the two weights. Sides that are measured against each other share
/// it, each in its own layout: weights and gradients of two sides would not fit otherwise.
struct GradientMemory {
  float* up = nullptr;
  float* down = nullptr;
};

/// Somebody who computes the layer: xmoe, the Eigen loop, later others. Call `i` uses routing i.
class Side {
 public:
  explicit Side(const Problem& problem);
  virtual ~Side() = default;

  /// y = sum of weight * expert(x). For inference: keeps nothing.
  virtual void forward(index i) = 0;
  /// The same in training: keeps what backward(i) needs.
  virtual void record(index i) = 0;
  /// dx and dweight are overwritten, gradients of the weights accumulate.
  virtual void backward(index i) = 0;

  virtual void zero_gradients() = 0;
  /// Every row of every gradient matrix times one fixed vector: a fingerprint to compare.
  virtual std::vector<float> project_gradients() const = 0;

  xmoe::Buffer<float> y;       ///< [T,D] of the latest call
  xmoe::Buffer<float> dx;      ///< [T,D]
  std::vector<float> dweight;  ///< [N]

 protected:
  const Problem& problem_;
};

/// The library, on a layer that replays the problem's routings. In training it owns the memory of
/// the gradients and tells where it lies.
std::unique_ptr<Side> make_xmoe(const Problem& problem, index threads, bool training,
                                GradientMemory& gradients);
/// The loop over experts that one writes with Eigen.
std::unique_ptr<Side> make_eigen(const Problem& problem, index threads, GradientMemory gradients);

/// Entry j of the vector of project_gradients.
inline float projector(index j) { return static_cast<float>(j * 7919 % 31 - 15) / 16.f; }

}  // namespace xmoe_bench
