// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <set>

#include "support/routing_case.hpp"

// Routings for the metrics, with everything that is legal: tokens without experts, experts twice in
// a row, weights of 0, padding.
namespace tests {

struct RoutingCase {
  std::vector<std::vector<Wish>> wishes;
  std::vector<std::uint8_t> valid;  ///< empty: no padding
  xmoe::Routing<double> routing;

  index tokens() const { return static_cast<index>(wishes.size()); }
  bool real(index t) const { return valid.empty() || valid[static_cast<std::size_t>(t)] != 0; }
  const std::vector<Wish>& of(index t) const { return wishes[static_cast<std::size_t>(t)]; }
  std::set<index> set(index t) const {
    std::set<index> experts;
    for (const Wish& wish : of(t)) {
      experts.insert(wish.expert);
    }
    return experts;
  }
};

inline RoutingCase random_routing(Generator& random, index tokens, index experts, bool padded) {
  RoutingCase c;
  for (index t = 0; t < tokens; ++t) {
    c.wishes.emplace_back();
    if (padded) {
      c.valid.push_back(random.below(4) == 0 ? 0 : 1);
    }
    const index count = c.real(t) ? random.below(4) : 0;
    for (index r = 0; r < count; ++r) {
      const double weight = random.below(5) == 0 ? 0.0 : 0.1 + random.uniform();
      c.wishes.back().push_back({random.below(experts), weight});
    }
  }
  c.routing = routing_of<double>(experts, c.wishes);
  return c;
}

/// Tokens of two sets in common.
inline index common(const std::set<index>& a, const std::set<index>& b) {
  return std::count_if(a.begin(), a.end(), [&](index e) { return b.count(e) > 0; });
}

inline constexpr std::uint64_t metrics_seed = 20240607;

/// body(random, tokens, experts, padded) over sizes at and away from the edges.
template <class F>
void each_size(F&& body) {
  Generator random(metrics_seed);
  for (const index tokens : {0, 1, 2, 17, 40}) {
    for (const index experts : {1, 2, 3, 7}) {
      for (const bool padded : {false, true}) {
        INFO("seed " << metrics_seed << ", " << tokens << " tokens, " << experts << " experts, "
                     << (padded ? "padded" : "no padding"));
        body(random, tokens, experts, padded);
      }
    }
  }
}

}  // namespace tests
