// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/plan.hpp>
#include <xmoe/metrics/load.hpp>

namespace xmoe::inline XMOE_ABI {

/// What one call did: assignments wanted, kept, dropped. Comes back from every forward.
struct Summary {
  index tokens = 0;  ///< without padding
  index wanted = 0;  ///< assignments that the router asked for, placeholders excluded
  index kept = 0;
  index dropped = 0;   ///< wanted - kept
  index capacity = 0;  ///< most rows an expert was allowed

  double experts_per_token() const {
    return tokens > 0 ? static_cast<double>(kept) / static_cast<double>(tokens) : 0.0;
  }
};

/// Everything that can be said about one routing and its plan. Ratios of nothing are 0.
struct Statistics {
  Summary summary;
  std::vector<index> load;    ///< [E] kept rows of an expert
  std::vector<index> claims;  ///< [E] assignments before capacity

  double wanted_per_token = 0.0;           ///< nbar
  double kept_per_token = 0.0;             ///< kbar
  double token_not_full_ratio = 0.0;       ///< share of tokens that lost an assignment
  double token_no_choice_ratio = 0.0;      ///< share of tokens without any kept expert
  double skip_ratio = 0.0;                 ///< share of tokens that chose the placeholder
  double expert_not_full_ratio = 0.0;      ///< share of experts with fewer than `capacity` rows
  double first_choice_drop_percent = 0.0;  ///< share of tokens whose first choice was dropped
  double balance_deviation = 0.0;          ///< population deviation of first-choice counts / (T/E)
  double jain_index = 0.0;                 ///< (sum of loads)^2 / (E sum of squares): 1/E .. 1
  Distribution top_score;                  ///< score of the first choice, over tokens that have one
  /// share of hidden activations > 0 over the kept rows, mean over the experts that have rows; 0
  /// where the expert does not say
  double active_ratio = 0.0;
  double entropy = 0.0;  ///< nats, mean over tokens, of the row of scores divided by its sum

  double flops_routed = 0.0;  ///< kept rows, forward; a multiply-add counts 2
  double flops_wanted = 0.0;  ///< as if nothing were dropped
  double flops_padded = 0.0;  ///< every expert filled up to the capacity
  double flops_router = 0.0;  ///< the gate's product

  /// FLOPs per token over a reference's FLOPs per token: r_use, r_want, r_pad of the XMoE paper's
  /// comparison, e.g. reference = 4 D H0 for a coarse top-1 layer.
  double ratio(double flops, double reference_per_token) const {
    return summary.tokens > 0 && reference_per_token > 0.0
               ? flops / static_cast<double>(summary.tokens) / reference_per_token
               : 0.0;
  }
};

namespace metrics {

/// receive_ratio of an expert: percent of the tokens that asked for it, before capacity.
inline double receive_percent(const Statistics& s, index expert) {
  return s.summary.tokens > 0
             ? 100.0 * static_cast<double>(s.claims[static_cast<std::size_t>(expert)]) /
                   static_cast<double>(s.summary.tokens)
             : 0.0;
}

/// Reads a routing, its plan and its scores; changes nothing.
///
///   scores         [T,E'] with E' = router outputs; may be empty, then the entropy stays 0
///   placeholders   outputs in front that are no expert
///   row_flops      FLOPs of one row through one expert
///   router_flops   FLOPs of the router a token
///   cost           O(N + T E)
template <class R>
Statistics statistics(const RoutingView<R>& routing, const PlanView& plan,
                      MatrixView<const R> scores, VectorView<const std::uint8_t> valid,
                      index placeholders, double row_flops, double router_flops) {
  Statistics s;
  s.summary = {routing.valid_tokens, plan.wanted, plan.kept, plan.dropped(), plan.capacity};
  s.load.assign(static_cast<std::size_t>(plan.experts), 0);
  s.claims = load(routing, valid, placeholders).count;
  const double tokens = static_cast<double>(routing.valid_tokens);
  std::vector<double> first(static_cast<std::size_t>(plan.experts), 0.0);
  std::vector<double> top_scores;
  double lost = 0.0, empty = 0.0, skipped = 0.0, first_dropped = 0.0;
  for (index t = 0; t < routing.tokens; ++t) {
    if (!is_real(valid, t)) {
      continue;
    }
    bool loses = false, keeps = false, skips = false;
    for (index a = routing.begin(t); a < routing.end(t); ++a) {
      const index e = routing.expert[a] - placeholders;
      if (e < 0) {
        skips = true;
        continue;
      }
      const auto i = static_cast<std::size_t>(e);
      const bool kept = plan.row[a] >= 0;
      s.load[i] += kept ? 1 : 0;
      loses = loses || !kept;
      keeps = keeps || kept;
      if (a == routing.begin(t)) {
        first[i] += 1.0;
        first_dropped += kept ? 0.0 : 1.0;
      }
    }
    lost += loses ? 1.0 : 0.0;
    empty += keeps ? 0.0 : 1.0;
    skipped += skips ? 1.0 : 0.0;
    if (routing.end(t) > routing.begin(t)) {
      top_scores.push_back(static_cast<double>(routing.score[routing.begin(t)]));
    }
    if (scores.data() != nullptr) {
      s.entropy += metrics::entropy(scores.row(t));
    }
  }
  if (routing.valid_tokens > 0) {
    s.wanted_per_token = static_cast<double>(plan.wanted) / tokens;
    s.kept_per_token = static_cast<double>(plan.kept) / tokens;
    s.token_not_full_ratio = lost / tokens;
    s.token_no_choice_ratio = empty / tokens;
    s.skip_ratio = skipped / tokens;
    s.first_choice_drop_percent = 100.0 * first_dropped / tokens;
    s.entropy /= tokens;
    double not_full = 0.0;
    const double experts = static_cast<double>(plan.experts);
    for (const index n : s.load) {
      not_full += n < plan.capacity ? 1.0 : 0.0;
    }
    s.balance_deviation = std::sqrt(variance(first)) / (tokens / experts);
    s.expert_not_full_ratio = not_full / experts;
  }
  s.top_score = distribution(top_scores);
  s.jain_index = metrics::jain_index(s.load);
  s.flops_routed = row_flops * static_cast<double>(plan.kept);
  s.flops_wanted = row_flops * static_cast<double>(plan.wanted);
  s.flops_padded =
      row_flops * static_cast<double>(plan.experts) * static_cast<double>(plan.capacity);
  s.flops_router = router_flops * tokens;
  return s;
}

}  // namespace metrics

}  // namespace xmoe::inline XMOE_ABI
