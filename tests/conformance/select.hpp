// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/select. TopK instances are clamped to the experts of a case by `fitted`.
inline auto selects() {
  using namespace xmoe::select;
  return std::tuple(Entry{"threshold", Threshold{0.9f}}, Entry{"threshold", Threshold{0.f}},
                    Entry{"threshold", Threshold{2.f}}, Entry{"threshold", Threshold{0.95f, 3}},
                    Entry{"top_k", TopK{1}}, Entry{"top_k", TopK{2}}, Entry{"top_k", TopK{20}},
                    Entry{"top_one", TopOne{}}, Entry{"all", All{}},
                    Entry{"biased", Biased<TopK>{{2}}}, Entry{"biased", Biased<Threshold>{{0.8f}}},
                    Entry{"draw", Draw{0.1f, 1}}, Entry{"draw", Draw{0.3f, 2}});
}

/// The policy with a k that `experts` allow.
template <class P>
P fitted(P policy, index experts) {
  if constexpr (requires { policy.k; }) {
    policy.k = std::min(policy.k, experts);
  } else if constexpr (requires { policy.inner; }) {
    policy.inner = fitted(policy.inner, experts);
  }
  return policy;
}

/// The choice; `bias` is used by policies that remember one.
template <class R, class P>
std::vector<index> choice(const P& policy, const std::vector<R>& scores,
                          const std::vector<R>& bias) {
  if constexpr (requires { typename P::template Weights<xmoe::Cpu<R>>; }) {
    auto own =
        policy.template make_weights<xmoe::Cpu<R>>({1, static_cast<index>(scores.size()), 1});
    own.bias.load(bias);
    return tests::chosen_by(policy, scores, own);
  } else {
    return tests::chosen_by(policy, scores);
  }
}

}  // namespace conformance
