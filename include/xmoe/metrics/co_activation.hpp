// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>

namespace xmoe::inline XMOE_ABI::metrics {

/// How often two experts serve the same token. Those of several calls add up with +=.
struct CoActivation {
  index experts = 0;
  std::vector<index> tokens;  ///< [E] tokens that chose the expert
  std::vector<index> pairs;   ///< [E,E] tokens that chose both; symmetric, diagonal 0

  index pair(index i, index j) const { return pairs[static_cast<std::size_t>(i * experts + j)]; }
  /// Of the tokens of i, the share that chose j too; 0 on the diagonal and for an unused expert.
  double share(index i, index j) const {
    const index n = tokens[static_cast<std::size_t>(i)];
    return n > 0 ? static_cast<double>(pair(i, j)) / static_cast<double>(n) : 0.0;
  }
  /// [E,E] all shares, by row.
  std::vector<double> shares() const {
    std::vector<double> all;
    all.reserve(pairs.size());
    for (index i = 0; i < experts; ++i) {
      for (index j = 0; j < experts; ++j) {
        all.push_back(share(i, j));
      }
    }
    return all;
  }

  /// Throws shape_error if both have experts, and not the same number.
  CoActivation& operator+=(const CoActivation& other) {
    if (experts == 0) {
      return *this = other;
    }
    if (other.experts != experts && other.experts != 0) {
      detail::fail<shape_error>("xmoe::metrics::CoActivation: %td experts and %td do not add up",
                                experts, other.experts);
    }
    for (std::size_t i = 0; i < other.tokens.size(); ++i) {
      tokens[i] += other.tokens[i];
    }
    for (std::size_t i = 0; i < other.pairs.size(); ++i) {
      pairs[i] += other.pairs[i];
    }
    return *this;
  }
};

/// Counts pairs of experts.
///
///   in      valid [T]   0 = padding; empty = no padding
///   cost    O(E^2 + sum over tokens of their experts squared)
///   throws  shape_error if the mask does not fit
///   source  arXiv 2409.02060, section 5 (co-activation)
template <class R>
CoActivation co_activation(const RoutingView<R>& routing,
                           VectorView<const std::uint8_t> valid = {}) {
  CoActivation c;
  Choices<R> choices("xmoe::metrics::co_activation", routing, valid);
  c.experts = routing.experts;
  c.tokens.assign(static_cast<std::size_t>(c.experts), 0);
  c.pairs.assign(static_cast<std::size_t>(c.experts) * static_cast<std::size_t>(c.experts), 0);
  for (index t = 0; t < routing.tokens; ++t) {
    if (!choices.is_real(t)) {
      continue;
    }
    const std::span<const std::int32_t> set = choices.of(t);
    for (const std::int32_t i : set) {
      ++c.tokens[static_cast<std::size_t>(i)];
      for (const std::int32_t j : set) {
        c.pairs[static_cast<std::size_t>(i * c.experts + j)] += i != j ? 1 : 0;
      }
    }
  }
  return c;
}

}  // namespace xmoe::inline XMOE_ABI::metrics
