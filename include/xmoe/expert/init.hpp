// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/panels.hpp>
#include <xmoe/core/random.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::expert {

/// How an expert bank starts.
struct Init {
  enum class Shape {
    normal,          ///< N(0, deviation^2), biases 0
    uniform_fan_in,  ///< U(-1/sqrt(fan_in), 1/sqrt(fan_in)), biases too
  };
  Shape shape = Shape::normal;
  bool copied = true;           ///< all experts equal (XMoE); else independent draws
  float deviation_in = 0.02f;   ///< first matrix, for normal
  float deviation_out = 0.02f;  ///< second matrix, for normal

  /// Fills a stack; `fan_in` as seen by the layer, so that biases [H,1] know theirs.
  template <class S>
  void fill(Panels<S>& stack, float deviation, index fan_in, bool is_bias, Random random) const {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in > 0 ? fan_in : 1));
    for (index e = 0; e < stack.count(); ++e) {
      for (index r = 0; r < stack.rows(); ++r) {
        for (index c = 0; c < stack.cols(); ++c) {
          const index i = ((copied ? 0 : e) * stack.rows() + r) * stack.cols() + c;
          const auto position = static_cast<std::uint64_t>(i);
          double value = 0.0;
          if (shape == Shape::uniform_fan_in) {
            value = bound * (2.0 * static_cast<double>(random.uniform(position)) - 1.0);
          } else if (!is_bias) {
            value = static_cast<double>(deviation) * random.normal(position);
          }
          stack.at(e, r, c) = static_cast<S>(value);
        }
      }
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::expert
