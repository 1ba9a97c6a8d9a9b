// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>

#include "setup.hpp"

namespace reference {

inline constexpr double pi = 3.14159265358979323846;

inline double activate(Activation kind, double u) {
  switch (kind) {
    case Activation::relu:
      return u > 0.0 ? u : 0.0;
    case Activation::squared_relu:
      return u > 0.0 ? u * u : 0.0;
    case Activation::gelu_tanh:
      return 0.5 * u * (1.0 + std::tanh(std::sqrt(2.0 / pi) * (u + 0.044715 * u * u * u)));
    case Activation::gelu_erf:
      return 0.5 * u * (1.0 + std::erf(u / std::sqrt(2.0)));
    case Activation::silu:
      return u / (1.0 + std::exp(-u));
    case Activation::identity:
      break;
  }
  return u;
}

inline double slope(Activation kind, double u) {
  switch (kind) {
    case Activation::relu:
      return u > 0.0 ? 1.0 : 0.0;
    case Activation::squared_relu:
      return u > 0.0 ? 2.0 * u : 0.0;
    case Activation::gelu_tanh: {
      const double c = std::sqrt(2.0 / pi);
      const double t = std::tanh(c * (u + 0.044715 * u * u * u));
      return 0.5 * (1.0 + t) + 0.5 * u * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * u * u);
    }
    case Activation::gelu_erf:
      return 0.5 * (1.0 + std::erf(u / std::sqrt(2.0))) +
             u * std::exp(-0.5 * u * u) / std::sqrt(2.0 * pi);
    case Activation::silu: {
      const double s = 1.0 / (1.0 + std::exp(-u));
      return s + u * s * (1.0 - s);
    }
    case Activation::identity:
      break;
  }
  return 1.0;
}

/// What one token leaves behind in one expert.
struct Pass {
  Vector before;  ///< [H or 2H] first product, bias included
  Vector hidden;  ///< [H]
  Vector out;     ///< [D]
};

inline index hidden_dim(const Experts& experts) { return experts.down.cols; }

inline Pass run_expert(const Experts& experts, index e, const Vector& x) {
  Pass pass;
  const index rows = experts.up.rows;
  const index hidden = hidden_dim(experts);
  for (index h = 0; h < rows; ++h) {
    double sum = experts.biases ? experts.up_bias(e, h, 0) : 0.0;
    for (index d = 0; d < experts.up.cols; ++d) {
      sum += experts.up(e, h, d) * at(x, d);
    }
    pass.before.push_back(sum);
  }
  for (index h = 0; h < hidden; ++h) {
    const double value = activate(experts.activation, at(pass.before, h));
    pass.hidden.push_back(experts.gated ? value * at(pass.before, hidden + h) : value);
  }
  for (index d = 0; d < experts.down.rows; ++d) {
    double sum = experts.biases ? experts.down_bias(e, d, 0) : 0.0;
    for (index h = 0; h < hidden; ++h) {
      sum += experts.down(e, d, h) * at(pass.hidden, h);
    }
    pass.out.push_back(sum);
  }
  return pass;
}

/// Adds to the gradients of expert e for one token whose output has the gradient `dout`.
inline void run_expert_backward(const Experts& experts, index e, const Vector& x, const Pass& pass,
                                const Vector& dout, Experts& gradient, Vector& dx) {
  const index hidden = hidden_dim(experts);
  Vector dhidden(static_cast<std::size_t>(hidden), 0.0);
  for (index d = 0; d < experts.down.rows; ++d) {
    gradient.down_bias(e, d, 0) += at(dout, d);
    for (index h = 0; h < hidden; ++h) {
      gradient.down(e, d, h) += at(dout, d) * at(pass.hidden, h);
      at(dhidden, h) += experts.down(e, d, h) * at(dout, d);
    }
  }
  Vector dbefore(static_cast<std::size_t>(experts.up.rows), 0.0);
  for (index h = 0; h < hidden; ++h) {
    const double u = at(pass.before, h);
    const double through = at(dhidden, h) * slope(experts.activation, u);
    if (experts.gated) {
      at(dbefore, h) = through * at(pass.before, hidden + h);
      at(dbefore, hidden + h) = at(dhidden, h) * activate(experts.activation, u);
    } else {
      at(dbefore, h) = through;
    }
  }
  for (index h = 0; h < experts.up.rows; ++h) {
    gradient.up_bias(e, h, 0) += at(dbefore, h);
    for (index d = 0; d < experts.up.cols; ++d) {
      gradient.up(e, h, d) += at(dbefore, h) * at(x, d);
      at(dx, d) += experts.up(e, h, d) * at(dbefore, h);
    }
  }
}

}  // namespace reference
