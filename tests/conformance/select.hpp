// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <numeric>

#include "conformance/entry.hpp"

namespace conformance {

using xmoe::select::Biased;
using xmoe::select::Broadcast;
using xmoe::select::Forced;
using xmoe::select::Grouped;
using xmoe::select::GroupedEach;
using xmoe::select::Ranks;

/// The first and the third expert, whatever their number.
template <class Inner>
Forced<Inner> forced(Inner inner) {
  static constexpr std::uint8_t flags[64] = {1, 0, 1};
  return {inner, {flags, 64}};
}

/// All of router/select. Instances are made to suit the experts of a case by `fitted`.
inline auto selects() {
  using namespace xmoe::select;
  return std::tuple(
      Entry{"threshold", Threshold{0.9f}}, Entry{"threshold", Threshold{2.f}},
      Entry{"threshold", Threshold{0.95f, 3}}, Entry{"threshold", Threshold{0.5f, 0, true}},
      Entry{"threshold", Threshold{0.f, 0, true, 1}}, Entry{"top_k", TopK{1}},
      Entry{"top_k", TopK{2}}, Entry{"top_k", TopK{20}}, Entry{"top_one", TopOne{}},
      Entry{"all", All{}}, Entry{"share", Share{0.5f, 0, 2}}, Entry{"share", Share{0.8f, 4}},
      Entry{"relative_to_best", RelativeToBest{}},
      Entry{"relative_to_best", RelativeToBest{0.1f, 5, 2}}, Entry{"gap", Gap{}},
      Entry{"level", Level{0.1f}}, Entry{"level", Level{0.2f, 2, 1}},
      Entry{"expert_levels", ExpertLevels{0.f, 0, 0}},
      Entry{"expert_levels", ExpertLevels{0.f, 3, 1}}, Entry{"ranks", Ranks<>{{3}, 0b101}},
      Entry{"ranks", Ranks<Threshold>{{0.7f}, 0b10}}, Entry{"forced", forced(TopK{3})},

      Entry{"broadcast", Broadcast<TopK>{{2}, 1.5f, true}}, Entry{"grouped", Grouped<>{{3}, 4, 2}},
      Entry{"grouped", Grouped<Level>{{0.1f}, 2, 1, 0}},
      Entry{"grouped", Grouped<Biased<TopK>>{{{2}}, 4, 2, 1}},
      Entry{"grouped_each", GroupedEach<>{}}, Entry{"grouped_each", GroupedEach<Gap>{{}, 4}},
      Entry{"biased", Biased<TopK>{{2}}}, Entry{"biased", Biased<Threshold>{{0.8f}}},
      Entry{"biased", Biased<Level>{{0.1f}}}, Entry{"biased", Biased<Grouped<>>{{{3}, 4, 2}}},
      Entry{"biased", Biased<Grouped<ExpertLevels>>{{{0.f, 0, 0}, 4, 2}}},
      Entry{"biased", Biased<decltype(forced(TopK{}))>{forced(TopK{3})}},
      Entry{"draw", Draw{0.1f, 1}}, Entry{"draw", Draw{0.3f, 2}});
}

/// What a selector keeps of the general rules.
struct Promise {
  bool somebody = true;         ///< chooses nobody only if nobody is allowed
  bool best_first = true;       ///< in the order of the keys
  bool nobody_before = true;    ///< no expert outside of the choice comes before one inside
  bool interchangeable = true;  ///< experts have no places
};
template <class P>
Promise promise(const P&) {
  return {};
}
inline Promise promise(const xmoe::select::Level& level) { return {level.min_experts == 1}; }
inline Promise promise(const xmoe::select::ExpertLevels& levels) {
  return {levels.min_experts == 1, true, false};
}
template <class Inner>
Promise promise(const Ranks<Inner>&) {
  return {false, true, false};
}
template <class Inner>
Promise promise(const Forced<Inner>&) {
  return {true, false, false, false};
}
template <class Inner>
Promise promise(const Grouped<Inner>& grouped) {
  return {promise(grouped.inner).somebody, true, false, false};
}
template <class Inner>
Promise promise(const GroupedEach<Inner>&) {
  return {true, false, false, false};
}
template <class Inner>
Promise promise(const Biased<Inner>& biased) {
  return promise(biased.inner);
}

/// The policy with a k and groups that `experts` allow.
template <class P>
P fitted(P policy, index experts) {
  if constexpr (requires { policy.k; }) {
    policy.k = std::min(policy.k, experts);
  }
  if constexpr (requires { policy.groups; }) {
    policy.groups = std::gcd(policy.groups, experts);
    index inside = experts / policy.groups;
    if constexpr (requires { policy.limit; }) {
      policy.limit = std::min(policy.limit, policy.groups);
      inside *= policy.limit;
    }
    policy.inner = fitted(policy.inner, inside);
  } else if constexpr (requires { policy.inner; }) {
    policy.inner = fitted(policy.inner, experts);
  }
  if constexpr (requires { policy.experts; }) {
    policy.experts.count = experts;
  }
  return policy;
}

/// The choice; `bias` is used by policies that remember one, or a level.
template <class R, class P>
std::vector<index> choice(const P& policy, const std::vector<R>& logits,
                          const std::vector<R>& scores, const std::vector<R>& bias) {
  if constexpr (requires { typename P::template Weights<xmoe::Cpu<R>>; }) {
    auto own =
        policy.template make_weights<xmoe::Cpu<R>>({1, static_cast<index>(scores.size()), 1});
    if constexpr (requires { own.bias; }) {
      own.bias.load(bias);
    } else if constexpr (requires { own.level; }) {
      own.level.load(bias);
    }
    return tests::chosen_from(policy, logits, scores, {}, own);
  } else {
    return tests::chosen_from(policy, logits, scores, {});
  }
}
template <class R, class P>
std::vector<index> choice(const P& policy, const std::vector<R>& scores,
                          const std::vector<R>& bias) {
  return choice(policy, {}, scores, bias);
}

}  // namespace conformance
