// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "routings.hpp"

#include <xmoe/core/buffer.hpp>

#include <memory>
#include <stdexcept>
#include <string>

namespace xmoe_bench {

/// How the experts' weights are stored. Activations and gradients are float for both.
enum class Scalar { f32, bf16 };
inline constexpr std::pair<std::string_view, Scalar> scalars[] = {{"f32", Scalar::f32},
                                                                  {"bf16", Scalar::bf16}};
enum class Pass { forward, backward };
inline constexpr std::pair<std::string_view, Pass> passes[] = {{"forward", Pass::forward},
                                                               {"backward", Pass::backward}};

/// The weights of all experts in plain layout. Workloads of one layer share them.
struct Bank {
  Shape shape;
  xmoe::Buffer<float> up;    ///< [E,H,D], or [E,2H,D]: gate rows, then up rows
  xmoe::Buffer<float> down;  ///< [E,D,H]

  explicit Bank(const Shape& s);
};

/// One workload's numbers, the same for everybody who computes with them.
struct Problem {
  const Bank& bank;
  Shape shape;
  xmoe::Buffer<float> x;   ///< [T,D]
  xmoe::Buffer<float> dy;  ///< [T,D]
  std::vector<xmoe::Routing<float>> routings;

  Problem(const Bank& weights, const Shape& s, Skew skew, index count);
  Problem(const Bank& weights, const Shape& s, Skew skew)
      : Problem(weights, s, skew, s.routings()) {}

  /// Multiply-adds count two. Forward; mean over the routings.
  double flops() const;
  /// Numbers in the weights of the experts that run. Mean over the routings.
  double engaged_weights() const;
};

/// Memory for the gradients of the two weights. Sides that are measured against each other share
/// it, each in its own layout: weights and gradients of two sides would not fit otherwise.
struct GradientMemory {
  float* up = nullptr;
  float* down = nullptr;
};

/// A side that cannot go on: it is left out, the others are not.
struct SideFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A step's first micro-batch writes the gradients of the weights; a single token adds to them.
inline bool writes_gradients(const Shape& shape) { return shape.tokens > 1; }

/// Somebody who computes the layer: xmoe or a peer. Packs the bank's weights when it is made; call
/// `i` uses routing i of the problem that it was given last.
class Side {
 public:
  virtual ~Side() = default;

  /// From now on these tokens and routings. The problem has to outlive its use.
  virtual void take(const Problem& problem);

  /// y = sum of weight * expert(x). For inference: keeps nothing.
  virtual void forward(index i) = 0;
  /// The same in training: keeps what backward(i) needs.
  virtual void record(index i);
  /// dx and dweight are overwritten; gradients of the weights too if writes_gradients(shape), else
  /// they add up. (PyTorch allocates them anew.)
  virtual void backward(index i);

  virtual void zero_gradients() {}
  /// Some rows of every gradient matrix times one fixed vector: a fingerprint to compare. They are
  /// row 0, gradient_stride(rows), 2 gradient_stride(rows), ... of each matrix.
  virtual std::vector<float> project_gradients();

  /// Seconds of one call, the mean of `repeats` walks through all routings.
  virtual double time(Pass pass, index repeats);

  xmoe::Buffer<float> y;       ///< [T,D] of the latest call
  xmoe::Buffer<float> dx;      ///< [T,D]
  std::vector<float> dweight;  ///< [N]

 protected:
  const Problem& problem() const { return *problem_; }
  const xmoe::Routing<float>& routing(index i) const {
    return problem_->routings[static_cast<std::size_t>(i)];
  }
  index calls() const { return static_cast<index>(problem_->routings.size()); }

 private:
  const Problem* problem_ = nullptr;
};

/// The library, on a layer that replays the problem's routings. Gradients accumulate.
class OurSide : public Side {
 public:
  /// Makes room for gradients, once, and tells where they lie.
  virtual GradientMemory train() = 0;
  /// Before the next take().
  virtual void set_threads(index threads) = 0;
};
std::unique_ptr<OurSide> make_xmoe(const Bank& bank, Scalar scalar, index threads);

/// The loop over experts that one writes with Eigen; float only. Gradients accumulate in what
/// `gradients` points to at that time.
std::unique_ptr<Side> make_eigen(const Bank& bank, index threads, const GradientMemory& gradients);

/// Who else computes the layer in this build and on this machine.
struct Peer {
  const char* name;
  bool backward;
  bool slow_start;  ///< takes seconds to get a gigabyte of weights
  std::unique_ptr<Side> (*make)(const Bank& bank, Scalar scalar, index threads);
};
/// All but the Eigen loop: oneDNN, libxsmm, PyTorch, as far as they are there.
const std::vector<Peer>& peers();

/// Distance of the rows that project_gradients takes: about 64 of a matrix.
inline index gradient_stride(index rows) { return rows < 128 ? 1 : rows / 64; }
/// Entry j of the vector of project_gradients.
inline float projector(index j) { return static_cast<float>(j * 7919 % 31 - 15) / 16.f; }

}  // namespace xmoe_bench
