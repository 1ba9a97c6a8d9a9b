// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "layer.hpp"

namespace reference {

/// The measurements of one call; shares are in 0 .. 1.
struct Statistics {
  index wanted = 0;  ///< claims on real experts, before capacity
  index kept = 0;
  double wanted_per_token = 0.0;
  double kept_per_token = 0.0;
  double tokens_not_full = 0.0;    ///< tokens that lost a claim
  double experts_not_full = 0.0;   ///< experts below their capacity
  double first_dropped = 0.0;      ///< tokens whose first choice was dropped
  double tokens_without = 0.0;     ///< tokens without any kept expert
  double placeholder_share = 0.0;  ///< tokens that chose the placeholder
  double imbalance = 0.0;          ///< population deviation of first-choice counts / (T/R)
  double top_score = 0.0;          ///< mean score at rank 0
  double entropy = 0.0;            ///< mean over tokens, natural logarithm, of the scores
  Vector claims;                   ///< [E] claims before capacity
  Vector load;                     ///< [E] kept claims
  double flops_router = 0.0;
  double flops_routed = 0.0;
  double flops_padded = 0.0;
  double flops_wanted = 0.0;
};

inline Statistics statistics(const Setup& setup, const Forward& f) {
  const index experts = setup.experts_count();
  const double tokens = static_cast<double>(f.valid_tokens);
  Statistics s;
  s.claims.assign(static_cast<std::size_t>(experts), 0.0);
  s.load.assign(static_cast<std::size_t>(experts), 0.0);
  Vector first(static_cast<std::size_t>(setup.outputs()), 0.0);
  for (index t = 0; t < f.logits.rows; ++t) {
    if (!setup.is_valid(t)) {
      continue;
    }
    bool lost = false;
    bool any = false;
    for (const Claim& claim : f.chosen[static_cast<std::size_t>(t)]) {
      if (claim.rank == 0) {
        at(first, claim.output) += 1.0;
        s.top_score += claim.score / tokens;
        s.first_dropped += claim.expert >= 0 && !claim.kept ? 1.0 / tokens : 0.0;
      }
      if (claim.expert < 0) {
        s.placeholder_share += 1.0 / tokens;
        continue;
      }
      ++s.wanted;
      at(s.claims, claim.expert) += 1.0;
      if (claim.kept) {
        ++s.kept;
        at(s.load, claim.expert) += 1.0;
        any = true;
      } else {
        lost = true;
      }
    }
    s.tokens_not_full += lost ? 1.0 / tokens : 0.0;
    s.tokens_without += any ? 0.0 : 1.0 / tokens;
    for (index e = 0; e < setup.outputs(); ++e) {
      const double p = f.scores(t, e);
      s.entropy -= p > 0.0 ? p * std::log(p) / tokens : 0.0;
    }
  }
  if (tokens > 0.0) {
    s.wanted_per_token = static_cast<double>(s.wanted) / tokens;
    s.kept_per_token = static_cast<double>(s.kept) / tokens;
  }
  const double mean = tokens / static_cast<double>(setup.outputs());
  double variance = 0.0;
  for (double c : first) {
    variance += (c - mean) * (c - mean) / static_cast<double>(setup.outputs());
  }
  s.imbalance = mean == 0.0 ? 0.0 : std::sqrt(variance) / mean;
  for (double n : s.load) {
    s.experts_not_full +=
        n < static_cast<double>(f.capacity) ? 1.0 / static_cast<double>(experts) : 0;
  }
  const double dim = static_cast<double>(setup.experts.down.rows);
  const double rows = static_cast<double>(setup.experts.up.rows + setup.experts.down.cols);
  const double slot = 2.0 * dim * rows;  // 4 D H for a plain expert, 6 D H for a gated one
  s.flops_router = 2.0 * dim * static_cast<double>(setup.outputs()) * tokens;
  s.flops_routed = slot * static_cast<double>(s.kept);
  s.flops_wanted = slot * static_cast<double>(s.wanted);
  s.flops_padded = slot * static_cast<double>(experts * f.capacity);
  return s;
}

}  // namespace reference
