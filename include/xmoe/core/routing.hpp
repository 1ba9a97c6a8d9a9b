// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/workspace.hpp>

#include <vector>

namespace xmoe::inline XMOE_ABI {

/// The decision: which experts each token engages, and how much. By token, best expert first.
///
///   offsets [T+1]   the assignments of token t are offsets[t] .. offsets[t+1]-1
///   expert  [N]     expert of an assignment; its rank is its place in the token's list
///   weight  [N]     factor of the expert's output
///   score   [N]     score that the weight was made from (orders claims under capacity)
///
/// A view: memory belongs to a workspace, a tape or a Routing.
template <class R>
struct RoutingView {
  index tokens = 0;
  index experts = 0;
  index valid_tokens = 0;  ///< tokens that are not padding
  index capacity = 0;      ///< room in expert, weight, score
  index* offsets = nullptr;
  std::int32_t* expert = nullptr;
  R* weight = nullptr;
  R* score = nullptr;

  /// N; the worst case while sizes are measured.
  index assignments() const { return offsets == nullptr ? capacity : offsets[tokens]; }
  index begin(index token) const { return offsets[token]; }
  index end(index token) const { return offsets[token + 1]; }

  /// Room for at most `capacity` assignments.
  static RoutingView take(Workspace& memory, index tokens, index experts, index capacity) {
    RoutingView view;
    view.tokens = tokens;
    view.experts = experts;
    view.valid_tokens = tokens;
    view.capacity = capacity;
    view.offsets = memory.take<index>(tokens + 1);
    view.expert = memory.take<std::int32_t>(capacity);
    view.weight = memory.take<R>(capacity);
    view.score = memory.take<R>(capacity);
    return view;
  }
};

/// A decision that owns its memory: what `layer.route` returns and `layer.apply` takes.
///
/// Built from outside only through `from`, which checks every number, or through the plainly named
/// `unchecked`. Duplicate experts in one row are legal; their contributions add up.
template <class R = float>
class Routing {
 public:
  Routing() = default;

  /// Copies and checks a routing that somebody else made. Its scores, which order claims under a
  /// capacity, are its weights.
  ///
  ///   offsets  [T+1] from 0, never falling     expert [N] in 0 .. experts-1     weight [N] finite
  ///   throws   shape_error, value_error naming the first wrong entry
  static Routing from(index experts, std::span<const index> offsets,
                      std::span<const std::int32_t> expert, std::span<const R> weight) {
    const index tokens = static_cast<index>(offsets.size()) - 1;
    if (tokens < 0 || offsets[0] != 0) {
      detail::fail<shape_error>("xmoe::Routing::from: offsets must hold T+1 numbers from 0");
    }
    for (index t = 0; t < tokens; ++t) {
      const auto i = static_cast<std::size_t>(t);
      if (offsets[i + 1] < offsets[i]) {
        detail::fail<shape_error>("xmoe::Routing::from: offsets fall from %td to %td at token %td",
                                  offsets[i], offsets[i + 1], t);
      }
    }
    const auto count = static_cast<std::size_t>(offsets[static_cast<std::size_t>(tokens)]);
    if (expert.size() != count || weight.size() != count) {
      detail::fail<shape_error>(
          "xmoe::Routing::from: offsets end at %zu, but there are %zu experts and %zu weights",
          count, expert.size(), weight.size());
    }
    for (std::size_t a = 0; a < count; ++a) {
      if (expert[a] < 0 || expert[a] >= experts) {
        detail::fail<value_error>("xmoe::Routing::from: expert[%zu] is %d, must be in 0 .. %td", a,
                                  static_cast<int>(expert[a]), experts - 1);
      }
      if (!is_finite(weight[a])) {
        detail::fail<value_error>("xmoe::Routing::from: weight[%zu] is not finite", a);
      }
    }
    return unchecked(experts, offsets, expert, weight);
  }

  /// The same without any check. Wrong numbers are undefined behaviour later on.
  static Routing unchecked(index experts, std::span<const index> offsets,
                           std::span<const std::int32_t> expert, std::span<const R> weight) {
    Routing result;
    result.experts_ = experts;
    result.offsets_.assign(offsets.begin(), offsets.end());
    result.expert_.assign(expert.begin(), expert.end());
    result.weight_.assign(weight.begin(), weight.end());
    result.score_ = result.weight_;
    result.valid_tokens_ = result.tokens();
    return result;
  }

  /// A copy of what a view shows.
  static Routing copy(const RoutingView<R>& view) {
    const auto n = static_cast<std::size_t>(view.assignments());
    Routing result = unchecked(
        view.experts,
        std::span<const index>(view.offsets, static_cast<std::size_t>(view.tokens) + 1),
        std::span<const std::int32_t>(view.expert, n), std::span<const R>(view.weight, n));
    result.score_.assign(view.score, view.score + n);
    result.valid_tokens_ = view.valid_tokens;
    return result;
  }

  index tokens() const { return static_cast<index>(offsets_.size()) - 1; }
  index experts() const { return experts_; }
  index assignments() const { return static_cast<index>(expert_.size()); }
  std::span<const index> offsets() const& { return offsets_; }
  std::span<const std::int32_t> expert() const& { return expert_; }
  std::span<const R> weight() const& { return weight_; }
  std::span<const R> score() const& { return score_; }

  // A temporary routing would leave its spans dangling.
  void offsets() const&& = delete;
  void expert() const&& = delete;
  void weight() const&& = delete;
  void score() const&& = delete;

  /// For the library's functions, which do not write through it.
  RoutingView<R> view() const {
    RoutingView<R> v;
    v.tokens = tokens();
    v.experts = experts_;
    v.valid_tokens = valid_tokens_;
    v.capacity = assignments();
    v.offsets = const_cast<index*>(offsets_.data());
    v.expert = const_cast<std::int32_t*>(expert_.data());
    v.weight = const_cast<R*>(weight_.data());
    v.score = const_cast<R*>(score_.data());
    return v;
  }

 private:
  index experts_ = 0;
  index valid_tokens_ = 0;
  std::vector<index> offsets_ = {0};
  std::vector<std::int32_t> expert_;
  std::vector<R> weight_;
  std::vector<R> score_;
};

}  // namespace xmoe::inline XMOE_ABI
