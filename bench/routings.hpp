// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "shapes.hpp"

#include <xmoe/core/random.hpp>
#include <xmoe/core/routing.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

namespace xmoe_bench {

/// How unevenly tokens choose. A benchmark of one skew alone measures the best case.
enum class Skew {
  uniform,
  zipf,     ///< the r-th most popular expert has probability ~ 1/r
  one_hot,  ///< every token's first choice is the same expert, the others are uniform
  hot,      ///< the same for half of the tokens
};
inline constexpr std::pair<std::string_view, Skew> skews[] = {{"uniform", Skew::uniform},
                                                              {"zipf", Skew::zipf},
                                                              {"one_hot", Skew::one_hot},
                                                              {"hot", Skew::hot}};

/// A routing that depends on its arguments alone: distinct experts a token, best first, weights
/// that sum to 1 over the chosen ones, and the shared experts behind them with weight 1.
inline xmoe::Routing<float> make_routing(const Shape& shape, Skew skew, std::uint64_t seed) {
  const xmoe::Random random{seed, 17};
  std::uint64_t position = 0;
  const auto draw = [&] { return random.uniform(position++); };

  const auto routed = static_cast<std::size_t>(shape.routed);
  std::vector<std::int32_t> by_popularity(routed);
  std::iota(by_popularity.begin(), by_popularity.end(), 0);
  for (std::size_t i = routed; i > 1; --i) {
    std::swap(by_popularity[i - 1],
              by_popularity[static_cast<std::size_t>(draw() * static_cast<float>(i))]);
  }
  std::vector<float> mass(routed);  // cumulative
  for (std::size_t r = 0; r < routed; ++r) {
    const float p = skew == Skew::zipf ? 1.f / static_cast<float>(r + 1) : 1.f;
    mass[r] = p + (r > 0 ? mass[r - 1] : 0.f);
  }

  std::vector<index> offsets{0};
  std::vector<std::int32_t> expert;
  std::vector<float> weight;
  for (index t = 0; t < shape.tokens; ++t) {
    const std::size_t begin = expert.size();
    index count = shape.per_token;
    if (shape.varies) {
      count = 1 + static_cast<index>(draw() * static_cast<float>(2 * shape.per_token - 1));
    }
    count = std::min(count, shape.routed);
    if (skew == Skew::one_hot || (skew == Skew::hot && t % 2 == 0)) {
      expert.push_back(by_popularity[0]);
    }
    while (static_cast<index>(expert.size() - begin) < count) {
      const auto r = std::upper_bound(mass.begin(), mass.end() - 1, draw() * mass.back());
      const std::int32_t e = by_popularity[static_cast<std::size_t>(r - mass.begin())];
      if (std::find(expert.begin() + static_cast<index>(begin), expert.end(), e) == expert.end()) {
        expert.push_back(e);
      }
    }
    float sum = 0.f;
    for (index i = 0; i < count; ++i) {
      weight.push_back(0.5f + draw());
      sum += weight.back();
    }
    std::for_each(weight.begin() + static_cast<index>(begin), weight.end(),
                  [&](float& w) { w /= sum; });
    for (index s = 0; s < shape.shared; ++s) {
      expert.push_back(static_cast<std::int32_t>(shape.routed + s));
      weight.push_back(1.f);
    }
    offsets.push_back(static_cast<index>(expert.size()));
  }
  return xmoe::Routing<float>::from(shape.experts(), offsets, expert, weight);
}

}  // namespace xmoe_bench
