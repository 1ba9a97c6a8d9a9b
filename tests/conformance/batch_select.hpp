// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"
#include "support/batch_case.hpp"

namespace conformance {

/// The selectors of router/select that look at whole batches. Each is adapted to a case by
/// `fitted_to`.
inline auto batch_selects() {
  using namespace xmoe::select;
  return std::tuple(Entry{"column", Column{}}, Entry{"column", Column{.k = 0.7}},
                    Entry{"column", Column{.capacity = 3}}, Entry{"global", Global{}},
                    Entry{"global", Global{.k = 1, .sequence = 5}}, Entry{"assign", Assign{}},
                    Entry{"assign", Assign{.balanced_in_inference = true}},
                    Entry{"transported", Transported<TopK>{}},
                    Entry{"transported", Transported<Column>{}},
                    Entry{"transported", Transported<Assign>{}}, Entry{"given", Given{}});
}

/// What holds for some selectors alone.
template <class P>
inline constexpr bool orders_by_scores = true;  ///< a token's experts stand by score
template <class P>
inline constexpr bool orders_by_scores<xmoe::select::Transported<P>> = false;
template <>
inline constexpr bool orders_by_scores<xmoe::select::Given> = false;

/// A policy with a k that `experts` allow.
template <class P>
P clamped(P policy, index experts) {
  if constexpr (requires { policy.k; }) {
    policy.k = std::min(policy.k, static_cast<decltype(policy.k)>(experts));
  } else if constexpr (requires { policy.inner; }) {
    policy.inner = clamped(policy.inner, experts);
  }
  return policy;
}

/// A policy for one batch: Given gives every token two experts that it may have.
template <class P>
struct Fitted {
  P policy;
  std::vector<index> offsets{};
  std::vector<std::int32_t> expert{};

  template <class R>
  Fitted(const P& any, const tests::ScoreBatch<R>& batch) : policy(clamped(any, batch.experts)) {
    if constexpr (std::is_same_v<P, xmoe::select::Given>) {
      offsets.push_back(0);
      for (index t = 0; t < batch.tokens(); ++t) {
        for (index e = batch.experts - 1, left = 2; e >= 0 && left > 0; --e) {
          if (!batch.masked(t, e)) {
            expert.push_back(static_cast<std::int32_t>(e));
            --left;
          }
        }
        offsets.push_back(static_cast<index>(expert.size()));
      }
      policy = {offsets, expert};
    }
  }
  Fitted(const Fitted&) = delete;
  Fitted& operator=(const Fitted&) = delete;
};

}  // namespace conformance
