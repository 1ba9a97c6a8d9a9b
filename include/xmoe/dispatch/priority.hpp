// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/order.hpp>
#include <xmoe/core/random.hpp>

/// Who is kept when an expert is wanted by more tokens than it may take.
namespace xmoe::inline XMOE_ABI::priority {

/// One token's wish for one expert.
struct Claim {
  std::int64_t score;     ///< order_code of the chosen expert's score
  std::uint64_t random;   ///< drawn for (token, expert); only if the priority asks for it
  index assignment;       ///< place in the routing: ascending with the token
  std::int32_t rank;      ///< 0 = the token's first choice
  std::int64_t best = 0;  ///< order_code of the token's first choice; only if the priority asks
};

/// All first choices before all second ones; inside a rank the larger score, then the lower token.
/// XMoE (ysngki/XMoE, mlp_gating.py).
struct RankThenProbability {
  static constexpr bool draws = false;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    if (a.rank != b.rank) {
      return a.rank < b.rank;
    }
    return a.score != b.score ? a.score > b.score : a.assignment < b.assignment;
  }
};

/// All first choices before all second ones; inside a rank the lower token. GShard, Switch.
struct RankThenToken {
  static constexpr bool draws = false;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.assignment < b.assignment;
  }
};

/// The larger score, whatever the rank; then the lower token.
struct Probability {
  static constexpr bool draws = false;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    return a.score != b.score ? a.score > b.score : a.assignment < b.assignment;
  }
};

/// The lower token, all ranks together.
struct FirstToken {
  static constexpr bool draws = false;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    return a.assignment < b.assignment;
  }
};

/// The higher token, all ranks together.
struct LastToken {
  static constexpr bool draws = false;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    return a.assignment > b.assignment;
  }
};

/// Batch prioritised: all first choices before all second ones; inside a rank the token whose first
/// choice has the larger score, then the lower token. V-MoE (arXiv 2106.05974), LIMoE.
struct BestTokenFirst {
  static constexpr bool draws = false;
  static constexpr bool by_best = true;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    if (a.rank != b.rank) {
      return a.rank < b.rank;
    }
    return a.best != b.best ? a.best > b.best : a.assignment < b.assignment;
  }
};

/// Uniformly random, from the context's stream: the same seed keeps the same claims.
struct Random {
  static constexpr bool draws = true;
  XMOE_HD static constexpr bool before(const Claim& a, const Claim& b) {
    return a.random != b.random ? a.random < b.random : a.assignment < b.assignment;
  }
};

template <class P>
concept Priority = requires(const Claim& a, const Claim& b) {
  { P::before(a, b) } -> std::same_as<bool>;
  { P::draws } -> std::convertible_to<bool>;
};
static_assert(Priority<RankThenProbability> && Priority<RankThenToken> && Priority<Probability> &&
              Priority<FirstToken> && Priority<LastToken> && Priority<BestTokenFirst> &&
              Priority<Random>);

/// Whether claims carry the code of their token's first choice.
template <Priority P>
inline constexpr bool looks_at_best = requires {
  P::by_best;
};

}  // namespace xmoe::inline XMOE_ABI::priority
