// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>

#include "setup.hpp"

namespace reference {

/// min(max(ceil(T/E * factor), minimum), T)
inline index capacity_of(index tokens, index experts, double factor, index minimum) {
  const long double exact = static_cast<long double>(tokens) * static_cast<long double>(factor) /
                            static_cast<long double>(experts);
  const index wanted = static_cast<index>(std::ceil(exact));
  return std::min(std::max(wanted, minimum), tokens);
}

/// True if claim a is served before claim b at their expert.
inline bool served_first(const Capacity& rule, const Claim& a, const Claim& b) {
  const bool rank_counts = rule.priority == Priority::rank_then_probability ||
                           rule.priority == Priority::rank_then_token;
  if (rank_counts && a.rank != b.rank) {
    return a.rank < b.rank;
  }
  const bool score_counts =
      rule.priority == Priority::rank_then_probability || rule.priority == Priority::probability;
  if (score_counts && a.score != b.score) {
    return a.score > b.score;
  }
  if (rule.priority == Priority::random) {
    const double ka = rule.keys(a.token, a.expert);
    const double kb = rule.keys(b.token, b.expert);
    if (ka != kb) {
      return ka < kb;
    }
  }
  return a.token < b.token;
}

/// All claims on one expert, best served first.
inline std::vector<Claim> claims_on(const Capacity& rule, index expert,
                                    const std::vector<std::vector<Claim>>& chosen) {
  std::vector<Claim> queue;
  for (const auto& row : chosen) {
    for (const Claim& claim : row) {
      if (claim.expert == expert) {
        std::size_t place = 0;
        while (place < queue.size() && !served_first(rule, claim, queue[place])) {
          ++place;
        }
        queue.insert(queue.begin() + static_cast<index>(place), claim);
      }
    }
  }
  return queue;
}

/// Marks the kept claims; returns the capacity.
inline index keep(const Setup& setup, index valid_tokens, std::vector<std::vector<Claim>>& chosen) {
  const index experts = setup.experts_count();
  index limit = valid_tokens;
  if (setup.capacity.limited) {
    limit = capacity_of(valid_tokens, experts, setup.capacity.factor, setup.capacity.minimum);
  }
  for (index e = 0; e < experts; ++e) {
    const std::vector<Claim> queue = claims_on(setup.capacity, e, chosen);
    index served = 0;
    for (const Claim& claim : queue) {
      if (setup.capacity.limited && served == limit) {
        break;
      }
      chosen[static_cast<std::size_t>(claim.token)][static_cast<std::size_t>(claim.rank)].kept =
          true;
      ++served;
    }
  }
  return limit;
}

}  // namespace reference
