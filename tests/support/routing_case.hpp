// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "policy_case.hpp"

// Routings written down in tests, and plans in a form that can be compared.
namespace tests {

struct Wish {
  index expert;
  double score;
};

/// A routing from each token's wishes, best first; weight = score.
template <class R>
xmoe::Routing<R> routing_of(index experts, const std::vector<std::vector<Wish>>& tokens) {
  std::vector<index> offsets = {0};
  std::vector<std::int32_t> expert;
  std::vector<R> weight;
  for (const auto& wishes : tokens) {
    for (const Wish& wish : wishes) {
      expert.push_back(static_cast<std::int32_t>(wish.expert));
      weight.push_back(static_cast<R>(wish.score));
    }
    offsets.push_back(static_cast<index>(expert.size()));
  }
  return xmoe::Routing<R>::unchecked(experts, offsets, expert, weight);
}

/// Random wishes: `most` distinct experts a token at most, falling scores without ties.
inline std::vector<std::vector<Wish>> random_wishes(Generator& random, index tokens, index experts,
                                                    index most, bool skewed) {
  std::vector<std::vector<Wish>> all;
  for (index t = 0; t < tokens; ++t) {
    std::vector<index> ids = permutation(random, experts);
    if (skewed) {  // nearly everybody wants expert 0
      std::iter_swap(ids.begin(), std::find(ids.begin(), ids.end(), 0));
    }
    const index count = std::min(experts, 1 + random.below(most));
    std::vector<Wish> wishes;
    double score = 1.0;
    for (index r = 0; r < count; ++r) {
      score *= static_cast<double>(static_cast<float>(0.2 + 0.7 * random.uniform()));
      wishes.push_back(
          {ids[static_cast<std::size_t>(r)], static_cast<double>(static_cast<float>(score))});
    }
    all.push_back(wishes);
  }
  return all;
}

/// The kept (token, rank) pairs of every expert, in plan order.
struct Kept {
  index token, rank;
  bool operator==(const Kept&) const = default;
};
template <class R>
std::vector<std::vector<Kept>> kept_by_expert(const xmoe::PlanView& plan,
                                              const xmoe::RoutingView<R>& routing) {
  std::vector<std::vector<Kept>> result(static_cast<std::size_t>(plan.experts));
  for (index e = 0; e < plan.experts; ++e) {
    for (index m = plan.expert_offsets[e]; m < plan.expert_offsets[e + 1]; ++m) {
      const index t = plan.token[m];
      result[static_cast<std::size_t>(e)].push_back({t, plan.assignment[m] - routing.begin(t)});
    }
  }
  return result;
}
/// Tokens that expert `e` keeps.
template <class R>
std::vector<index> tokens_of(const xmoe::PlanView& plan, const xmoe::RoutingView<R>& routing,
                             index e) {
  std::vector<index> tokens;
  const auto kept = kept_by_expert(plan, routing);
  for (const Kept& k : kept[static_cast<std::size_t>(e)]) {
    tokens.push_back(k.token);
  }
  return tokens;
}

/// What holds for every plan of every dispatch.
template <class R>
void check_plan(const xmoe::PlanView& plan, const xmoe::RoutingView<R>& routing, index first) {
  REQUIRE(plan.expert_offsets[0] == 0);
  REQUIRE(plan.expert_offsets[plan.experts] == plan.kept);
  index wanted = 0, with_row = 0;
  for (index a = 0; a < routing.assignments(); ++a) {
    wanted += routing.expert[a] >= first ? 1 : 0;
    with_row += plan.row[a] >= 0 ? 1 : 0;
    CHECK((plan.row[a] < 0 || plan.assignment[plan.row[a]] == a));
  }
  CHECK(plan.wanted == wanted);
  CHECK(plan.kept == with_row);
  CHECK(plan.kept + plan.dropped() == wanted);
  for (index e = 0; e < plan.experts; ++e) {
    REQUIRE(plan.load(e) >= 0);
    CHECK(plan.load(e) <= plan.capacity);
    for (index m = plan.expert_offsets[e]; m < plan.expert_offsets[e + 1]; ++m) {
      const index a = plan.assignment[m];
      CHECK(routing.expert[a] - first == e);
      CHECK((routing.begin(plan.token[m]) <= a && a < routing.end(plan.token[m])));
      CHECK((m == plan.expert_offsets[e] || plan.assignment[m - 1] < a));  // by token
    }
  }
}

/// Weight of every row of a plan.
template <class S>
std::vector<S> row_weights(const xmoe::RoutingView<S>& routing, const xmoe::PlanView& plan) {
  std::vector<S> weight;
  for (index m = 0; m < plan.kept; ++m) {
    weight.push_back(routing.weight[plan.assignment[m]]);
  }
  return weight;
}

}  // namespace tests
