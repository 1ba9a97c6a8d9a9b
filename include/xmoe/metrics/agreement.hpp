// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>

#include <algorithm>

namespace xmoe::inline XMOE_ABI::metrics {

/// What two routings of the same tokens have in common. Of no token: zeros.
struct Agreement {
  index tokens = 0;          ///< without padding
  double saturation = 0.0;   ///< mean of |now and final| / |final|, tokens with a final choice
  double change_rate = 0.0;  ///< share of tokens whose set of experts differs
  double first_change_rate = 0.0;  ///< share of tokens whose best expert differs
};

/// Compares the routing of a checkpoint with that of a later one over the same tokens: saturation
/// says how much of the final decision is there already, change_rate how much still moves.
///
///   in      now, final    the same T and E
///           valid [T]     0 = padding; empty = no padding
///   cost    O(T + E + N)
///   throws  shape_error if the two, or the mask, do not fit
///   source  arXiv 2409.02060, section 5 (router saturation)
template <class R>
Agreement agreement(const RoutingView<R>& now, const RoutingView<R>& final,
                    VectorView<const std::uint8_t> valid = {}) {
  const char* const name = "xmoe::metrics::agreement";
  if (now.tokens != final.tokens || now.experts != final.experts) {
    detail::fail<shape_error>("%s: %td tokens and %td experts now, %td and %td finally", name,
                              now.tokens, now.experts, final.tokens, final.experts);
  }
  Agreement result;
  Choices<R> before(name, now, valid), after(name, final, valid);
  double chosen = 0.0;
  for (index t = 0; t < now.tokens; ++t) {
    if (!before.is_real(t)) {
      continue;
    }
    ++result.tokens;
    const auto a = before.of(t), b = after.of(t);
    const index common = after.common(a);
    if (!b.empty()) {
      chosen += 1.0;
      result.saturation += static_cast<double>(common) / static_cast<double>(b.size());
    }
    const bool same = a.size() == b.size() && static_cast<std::size_t>(common) == a.size();
    const bool same_first = a.empty() ? b.empty() : !b.empty() && a[0] == b[0];
    result.change_rate += same ? 0.0 : 1.0;
    result.first_change_rate += same_first ? 0.0 : 1.0;
  }
  const double tokens = static_cast<double>(result.tokens);
  result.saturation /= chosen > 0.0 ? chosen : 1.0;
  result.change_rate /= tokens > 0.0 ? tokens : 1.0;
  result.first_change_rate /= tokens > 0.0 ? tokens : 1.0;
  return result;
}

/// The k experts with the largest numbers, largest first; all of them if k > E.
///
///   ties    the lower index first
///   cost    O(E log E)
template <class N>
std::vector<std::int32_t> top_experts(const std::vector<N>& number, index k) {
  std::vector<std::int32_t> order(number.size());
  for (std::size_t e = 0; e < order.size(); ++e) {
    order[e] = static_cast<std::int32_t>(e);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return number[static_cast<std::size_t>(a)] > number[static_cast<std::size_t>(b)];
  });
  if (k < static_cast<index>(order.size())) {
    order.resize(static_cast<std::size_t>(k > 0 ? k : 0));
  }
  return order;
}

/// Two sets of experts, e.g. the top experts of two tasks. Of two empty sets: zeros.
struct Overlap {
  index common = 0;      ///< experts in both
  double jaccard = 0.0;  ///< common over those in either
  double share = 0.0;    ///< common over the larger set: of k for two lists of k
};

/// Compares two lists of experts as sets; repeated experts count once.
inline Overlap overlap(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto set_of = [](std::span<const std::int32_t> list) {
    std::vector<std::int32_t> set(list.begin(), list.end());
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
    return set;
  };
  const std::vector<std::int32_t> one = set_of(a), other = set_of(b);
  Overlap result;
  for (const std::int32_t e : one) {
    result.common += std::binary_search(other.begin(), other.end(), e) ? 1 : 0;
  }
  const index larger = static_cast<index>(std::max(one.size(), other.size()));
  const index either = static_cast<index>(one.size() + other.size()) - result.common;
  if (larger > 0) {
    result.jaccard = static_cast<double>(result.common) / static_cast<double>(either);
    result.share = static_cast<double>(result.common) / static_cast<double>(larger);
  }
  return result;
}

/// How alike the choices of neighbours in a sequence are. Of no pair: zeros.
struct Stickiness {
  index pairs = 0;          ///< neighbours in one sequence, neither of them padding
  double same = 0.0;        ///< share of pairs with the same set of experts
  double same_first = 0.0;  ///< share of pairs with the same best expert
  /// Mean of |this and previous| / |this| over the pairs whose second token has experts: what a
  /// cache of one token's experts saves.
  double reuse = 0.0;
  /// The same for neighbours drawn independently from all tokens: sum m_e^2 / (T sum m_e), with m_e
  /// tokens of expert e.
  double reuse_by_chance = 0.0;
};

/// Compares every token with the one before it.
///
///   in      valid [T]                0 = padding; empty = no padding
///           sequence_offsets [S+1]   from 0 to T; empty = all tokens are one sequence
///   cost    O(T + E + N)
///   throws  shape_error if the mask or the offsets do not fit
template <class R>
Stickiness stickiness(const RoutingView<R>& routing, VectorView<const std::uint8_t> valid = {},
                      VectorView<const index> sequence_offsets = {}) {
  const char* const name = "xmoe::metrics::stickiness";
  Stickiness s;
  Choices<R> choices(name, routing, valid);
  std::vector<std::int32_t> previous;
  std::vector<double> users(static_cast<std::size_t>(routing.experts), 0.0);
  double tokens = 0.0, chosen = 0.0;
  each_sequence(name, sequence_offsets, routing.tokens, [&](index begin, index end) {
    for (index t = begin; t < end; ++t) {
      if (!choices.is_real(t)) {
        continue;
      }
      const auto set = choices.of(t);
      tokens += 1.0;
      for (const std::int32_t e : set) {
        users[static_cast<std::size_t>(e)] += 1.0;
      }
      if (t > begin && choices.is_real(t - 1)) {
        const index common = choices.common(previous);
        const bool equal = set.size() == previous.size();
        ++s.pairs;
        s.same += equal && static_cast<std::size_t>(common) == set.size() ? 1.0 : 0.0;
        s.same_first += set.empty() ? (equal ? 1.0 : 0.0)
                                    : (!previous.empty() && set[0] == previous[0] ? 1.0 : 0.0);
        if (!set.empty()) {
          chosen += 1.0;
          s.reuse += static_cast<double>(common) / static_cast<double>(set.size());
        }
      }
      previous.assign(set.begin(), set.end());
    }
  });
  double all = 0.0, squares = 0.0;
  for (const double m : users) {
    all += m;
    squares += m * m;
  }
  const double pairs = static_cast<double>(s.pairs > 0 ? s.pairs : 1);
  s.same /= pairs;
  s.same_first /= pairs;
  s.reuse /= chosen > 0.0 ? chosen : 1.0;
  s.reuse_by_chance = s.pairs > 0 && all > 0.0 ? squares / (tokens * all) : 0.0;
  return s;
}

}  // namespace xmoe::inline XMOE_ABI::metrics
