// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>

#include <algorithm>
#include <limits>

namespace xmoe::inline XMOE_ABI::select::detail {

using namespace xmoe::detail;  // so that `detail::` means both in this folder

/// Tokens to experts with equal shares and the largest sum of values, by an auction: tokens without
/// an expert bid for the one with the largest margin (value less price), as much as makes the
/// second best as good, and eps; an expert keeps its highest bids, and its price is the lowest of
/// those once it is full.
///
/// If E does not divide T, E ceil(T/E) - T stand-ins fill the rest, at most one an expert, with
/// value 0: every expert then has floor(T/E) or ceil(T/E) tokens.
///
/// At the end every margin is within eps of the best one, hence the sum within persons * eps of the
/// largest. Prices start from those of rounds with larger eps, which shortens price wars. All bids
/// of a round are made from the same prices and taken in one order: the result does not depend on
/// threads.
class Auction {
 public:
  /// Memory for at most that many.
  static Auction take(Workspace& memory, index tokens, index experts) {
    Auction a;
    const index most = tokens + experts;  // persons
    a.values_ = memory.take<double>(tokens * experts);
    a.price_ = memory.take<double>(experts);
    a.start_ = memory.take<double>(experts);
    a.held_ = memory.take<index>(experts);
    a.stand_in_ = memory.take<double>(experts);
    a.bids_ = memory.take<Bid>(most);
    a.kept_ = memory.take<Bid>(most);
    a.open_ = memory.take<std::int32_t>(most);
    a.next_ = memory.take<std::int32_t>(most);
    a.expert_ = memory.take<std::int32_t>(most);
    return a;
  }
  /// tokens >= 1, experts >= 1; then fill every value.
  void start(index tokens, index experts) {
    tokens_ = tokens;
    experts_ = experts;
    share_ = (tokens + experts - 1) / experts;
  }
  index persons() const { return share_ * experts_; }
  double& value(index token, index expert) { return values_[token * experts_ + expert]; }
  index expert(index token) const { return expert_[token]; }

  template <class Traits>
  void run(Context<Traits>& ctx, double eps) {
    const auto [low, high] = std::minmax_element(values_, values_ + tokens_ * experts_);
    const double reach = *high - *low;
    if (reach <= 0.0 || experts_ == 1) {  // nothing to choose: runs of neighbours
      for (index t = 0; t < tokens_; ++t) {
        expert_[t] = static_cast<std::int32_t>(t * experts_ / tokens_);
      }
      return;
    }
    eps = std::max(eps, reach * 0x1p-36);  // every bid rises in spite of rounding
    std::fill(price_, price_ + experts_, 0.0);
    for (double large = reach / 4.0; large > eps; large /= 5.0) {
      round(ctx, large);
    }
    round(ctx, eps);
  }

 private:
  struct Bid {
    double level;
    std::int32_t person;  ///< tokens, then stand-ins
    std::int32_t expert;
  };
  static constexpr double none = std::numeric_limits<double>::lowest();

  /// The weakest at the top of a heap: the lowest level, then the higher index.
  static bool stronger(const Bid& a, const Bid& b) {
    return a.level > b.level || (a.level == b.level && a.person < b.person);
  }
  bool is_token(std::int32_t person) const { return person < tokens_; }
  /// What a stand-in must outbid.
  double stand_in_price(index e) const { return stand_in_[e] != none ? stand_in_[e] : price_[e]; }

  /// A whole auction from the prices that stand.
  template <class Traits>
  void round(Context<Traits>& ctx, double eps) {
    const double floor = *std::min_element(price_, price_ + experts_);
    for (index e = 0; e < experts_; ++e) {
      start_[e] = price_[e] -= floor;
      held_[e] = 0;
      stand_in_[e] = none;
    }
    index open = persons();
    for (index i = 0; i < open; ++i) {
      open_[i] = static_cast<std::int32_t>(i);
    }
    while (open > 0) {
      const index block = std::max(index(1), index(8192) / experts_);
      ctx.backend.parallel((open + block - 1) / block, [&](index item, index) {
        for (index i = item * block; i < std::min((item + 1) * block, open); ++i) {
          bids_[i] = bid(open_[i], eps);
        }
      });
      index left = 0;
      for (index i = 0; i < open; ++i) {
        const std::int32_t loser = settle(bids_[i]);
        if (loser >= 0) {
          next_[left++] = loser;
        }
      }
      std::swap(open_, next_);
      open = left;
    }
    for (index e = 0; e < experts_; ++e) {
      for (index i = 0; i < share_; ++i) {
        expert_[kept_[e * share_ + i].person] = static_cast<std::int32_t>(e);
      }
    }
  }

  /// experts >= 2
  Bid bid(std::int32_t person, double eps) const {
    const double* const values = values_ + person * experts_;
    double best = none, second = none;
    std::int32_t expert = 0;
    for (index e = 0; e < experts_; ++e) {
      const double margin = is_token(person) ? values[e] - price_[e] : -stand_in_price(e);
      if (margin > best) {
        second = best;
        best = margin;
        expert = static_cast<std::int32_t>(e);
      } else if (margin > second) {
        second = margin;
      }
    }
    const double value = is_token(person) ? values[expert] : 0.0;
    return {value - second + eps, person, expert};
  }

  /// The expert takes the bid or not; returns who is without an expert then, -1 if nobody.
  std::int32_t settle(const Bid& bid) {
    const index e = bid.expert;
    Bid* const kept = kept_ + e * share_;
    Bid* end = kept + held_[e];
    std::int32_t loser = -1;
    if (!is_token(bid.person) && stand_in_[e] != none) {  // one stand-in an expert
      if (bid.level <= stand_in_[e]) {
        return bid.person;
      }
      Bid* const other = std::find_if(kept, end, [&](const Bid& b) { return !is_token(b.person); });
      loser = other->person;
      *other = bid;
      std::make_heap(kept, end, stronger);
    } else {
      if (held_[e] == share_) {
        if (bid.level <= kept->level) {
          return bid.person;
        }
        loser = kept->person;
        std::pop_heap(kept, end, stronger);
        --end;
        if (!is_token(loser)) {
          stand_in_[e] = none;
        }
      } else {
        ++held_[e];
      }
      *end = bid;
      std::push_heap(kept, end + 1, stronger);
    }
    if (!is_token(bid.person)) {
      stand_in_[e] = bid.level;
    }
    price_[e] = held_[e] == share_ ? kept->level : start_[e];
    return loser;
  }

  index tokens_ = 0;
  index experts_ = 0;
  index share_ = 0;               ///< ceil(T/E)
  double* values_ = nullptr;      ///< [T,E]
  double* price_ = nullptr;       ///< [E]
  double* start_ = nullptr;       ///< [E] price of an expert that is not full
  index* held_ = nullptr;         ///< [E] bids kept
  double* stand_in_ = nullptr;    ///< [E] bid of the stand-in that an expert keeps, or none
  Bid* bids_ = nullptr;           ///< [persons] of this round
  Bid* kept_ = nullptr;           ///< [E,share] heaps
  std::int32_t* open_ = nullptr;  ///< persons without an expert
  std::int32_t* next_ = nullptr;
  std::int32_t* expert_ = nullptr;  ///< [persons]
};

}  // namespace xmoe::inline XMOE_ABI::select::detail
