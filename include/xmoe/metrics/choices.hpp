// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/routing.hpp>
#include <xmoe/core/view.hpp>

#include <span>
#include <vector>

namespace xmoe::inline XMOE_ABI::detail {

/// A padding mask that fits: one entry a token, or none at all.
inline void check_mask(const char* function, VectorView<const std::uint8_t> valid, index tokens) {
  if (valid.size() != 0 && valid.size() != tokens) {
    fail<shape_error>("%s: the padding mask has %td entries, there are %td tokens", function,
                      valid.size(), tokens);
  }
}

}  // namespace xmoe::inline XMOE_ABI::detail

namespace xmoe::inline XMOE_ABI::metrics {

/// A token that is not padding; without a mask every token counts.
inline bool is_real(VectorView<const std::uint8_t> valid, index token) {
  return valid.size() == 0 || valid[token] != 0;
}

/// The set of experts of one token after the other: an expert that stands twice in a row is there
/// once.
///
///   cost    O(E) memory; O(experts of the token) a call of `of`, O(1) of `has`
///   throws  shape_error if the mask does not fit
template <class R>
class Choices {
 public:
  Choices(const char* function, const RoutingView<R>& routing,
          VectorView<const std::uint8_t> valid = {})
      : routing_(routing), valid_(valid), seen_(static_cast<std::size_t>(routing.experts), 0) {
    detail::check_mask(function, valid, routing.tokens);
  }

  bool is_real(index token) const { return metrics::is_real(valid_, token); }

  /// Distinct experts, best first; valid until the next call.
  std::span<const std::int32_t> of(index token) {
    ++round_;
    set_.clear();
    for (index a = routing_.begin(token); a < routing_.end(token); ++a) {
      index& seen = seen_[static_cast<std::size_t>(routing_.expert[a])];
      if (seen != round_) {
        seen = round_;
        set_.push_back(routing_.expert[a]);
      }
    }
    return set_;
  }
  /// Whether the set of the last call holds the expert.
  bool has(std::int32_t expert) const { return seen_[static_cast<std::size_t>(expert)] == round_; }
  /// How many of these the set of the last call holds.
  index common(std::span<const std::int32_t> experts) const {
    index count = 0;
    for (const std::int32_t e : experts) {
      count += has(e) ? 1 : 0;
    }
    return count;
  }

 private:
  RoutingView<R> routing_;
  VectorView<const std::uint8_t> valid_;
  std::vector<index> seen_;  ///< [E] round in which the expert was last met
  index round_ = 0;
  std::vector<std::int32_t> set_;
};

/// body(begin, end) for the tokens of every sequence.
///
///   in      offsets [S+1]   from 0 to T, never falling; empty = all tokens are one sequence
///   throws  shape_error naming the first wrong offset
template <class F>
void each_sequence(const char* function, VectorView<const index> offsets, index tokens, F&& body) {
  if (offsets.size() == 0) {
    body(index(0), tokens);
    return;
  }
  for (index s = 0; s < offsets.size(); ++s) {
    const bool first = s == 0, last = s + 1 == offsets.size();
    if ((first && offsets[s] != 0) || (!first && offsets[s] < offsets[s - 1]) ||
        (last && offsets[s] != tokens)) {
      detail::fail<shape_error>("%s: sequence_offsets[%td] is %td; they must rise from 0 to %td",
                                function, s, offsets[s], tokens);
    }
  }
  for (index s = 0; s + 1 < offsets.size(); ++s) {
    body(offsets[s], offsets[s + 1]);
  }
}

}  // namespace xmoe::inline XMOE_ABI::metrics
