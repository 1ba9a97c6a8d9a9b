// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "transformer.hpp"

#include <nlohmann/json.hpp>

namespace lm {

/// The three models: the same weights, cut and chosen differently.
enum class Kind {
  coarse,   ///< few large experts, the best one for each token (Switch)
  fine,     ///< many small experts, as many as reach a probability mass (XMoE)
  control,  ///< the same small experts, a fixed number of them
};
inline constexpr Kind all_kinds[] = {Kind::coarse, Kind::fine, Kind::control};

inline const char* name_of(Kind kind) {
  constexpr const char* names[] = {"coarse", "fine", "control"};
  return names[static_cast<int>(kind)];
}
inline Kind kind_of(const std::string& name) {
  for (const Kind kind : all_kinds) {
    if (name == name_of(kind)) {
      return kind;
    }
  }
  throw user_error("there is no model '" + name + "', only coarse, fine and control");
}

/// Everything that decides what a model becomes. Written into its checkpoint.
struct Settings {
  index units = 512;
  index dim = 96;
  index blocks = 2;
  index heads = 4;
  index context = 64;
  index experts = 8;       // of the coarse model
  index expert_dim = 384;  // of the coarse model
  index split = 8;         // a coarse expert becomes so many fine ones, a split-th as wide
  double capacity = 1.25;  // of the coarse model; fine experts get `split`
  double threshold = 0.3;
  index top_k = 3;
  index steps = 3000;
  index batch = 16;
  index warm_up = 100;
  double learning_rate = 4e-3;
  double balance = 0.01;
  std::uint64_t seed = 1;

  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Settings, units, dim, blocks, heads, context, experts, expert_dim,
                                 split, capacity, threshold, top_k, steps, batch, warm_up,
                                 learning_rate, balance, seed)
  Shape shape(index vocabulary) const { return {vocabulary, dim, blocks, heads, context}; }
};

}  // namespace lm
