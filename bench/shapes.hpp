// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <string_view>
#include <thread>
#include <vector>

namespace xmoe_bench {

using xmoe::index;

/// A workload: the shape of a layer and of one call.
struct Shape {
  std::string_view name;
  std::string_view system;  ///< whose layer has this shape
  index model_dim;          ///< D
  index expert_dim;         ///< H
  index routed;             ///< experts that tokens choose from
  index shared;             ///< experts that run for every token
  index per_token;          ///< K chosen experts a token; the mean, if it varies
  bool varies;              ///< 1 .. 2K-1 chosen experts a token, as a threshold router gives
  bool gated;               ///< three matrices (SwiGLU), else two (ReLU)
  index tokens;             ///< T

  constexpr index experts() const { return routed + shared; }
  /// Rows of the first matrix of an expert: gate and up together.
  constexpr index up_rows() const { return gated ? 2 * expert_dim : expert_dim; }
  constexpr index expert_size() const { return (up_rows() + expert_dim) * model_dim; }
  /// Different routings that a measurement walks through, so that weights come from memory.
  constexpr index routings() const { return tokens < 32 ? 32 / tokens : 1; }
  constexpr Shape with_tokens(index count) const {
    Shape result = *this;
    result.tokens = count;
    return result;
  }
  /// A layer that serves the one serves the other.
  constexpr bool same_layer(const Shape& other) const {
    return model_dim == other.model_dim && expert_dim == other.expert_dim &&
           experts() == other.experts() && gated == other.gated;
  }

  /// Every token through one expert as wide as its chosen ones together: the same work, dense.
  constexpr Shape dense() const {
    return {name,  system, model_dim, expert_dim * (per_token + shared), 1, 0, 1,
            false, gated,  tokens};
  }
};

// clang-format off
inline constexpr Shape shapes[] = {
    // name   system                        D     H     routed shared K  varies gated  T
    {"W1",  "XMoE language model, s = 16",  768,  192,  128,   0,     8, true,  false, 1024},
    {"W2",  "Switch Transformer",           768,  3072, 8,     0,     1, false, false, 1024},
    {"W3",  "Mixtral, a quarter as wide",   1024, 3584, 8,     0,     2, false, true,  512},
    {"W4",  "Qwen3-30B-A3B, prefill",       2048, 768,  128,   0,     8, false, true,  512},
    {"W5",  "Qwen3-30B-A3B, decode",        2048, 768,  128,   0,     8, false, true,  1},
    {"W6a", "DeepSeek-16B, decode",         2048, 1408, 64,    2,     6, false, true,  1},
    {"W6b", "DeepSeek-16B, 128 tokens",     2048, 1408, 64,    2,     6, false, true,  128},
};
/// Nothing divides anything. Not one of the workloads: for checks.
inline constexpr Shape irregular =
    {"irregular", "none",                   300,  77,   10,    1,     3, true,  true,  37};
// clang-format on

/// One thread, and all that the machine runs at once.
inline std::vector<index> thread_counts() {
  const auto all = static_cast<index>(std::thread::hardware_concurrency());
  return all > 1 ? std::vector<index>{1, all} : std::vector<index>{1};
}

/// Null if there is no such name.
constexpr const Shape* find_shape(std::string_view name) {
  for (const Shape& shape : shapes) {
    if (shape.name == name) {
      return &shape;
    }
  }
  return name == irregular.name ? &irregular : nullptr;
}

}  // namespace xmoe_bench
