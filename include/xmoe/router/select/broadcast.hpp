// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/parts.hpp>
#include <xmoe/router/select/top_one.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::select {

/// All experts for tokens about which the router is not sure: those whose scores have an entropy
/// H = -sum s ln s of at least `entropy`. The others go to another selector. For fine-tuning, after
/// which every expert knows such tokens; at inference all go to the other selector.
///
///   in      scores [E]: probabilities
///   out     E experts that may be chosen, best first, or what the inner selector takes
///   ties    the lower index first
///   grad    none: the choice counts as constant
///   cost    O(E) logarithms, then O(E log E) or the inner selector's
///   throws  value_error if entropy is NaN; what the inner selector throws
///   source  arXiv 2406.12375; WaitHZ/GW-MoE (without its limit of such tokens a sequence)
template <RowSelect Inner = TopOne>
struct Broadcast {
  Inner inner{};
  float entropy = 2.f;        ///< in nats: 0 or less = every token, above ln E = none
  bool at_inference = false;  ///< also outside of training

  static constexpr bool needs_probabilities = true;  ///< rows of scores must sum to 1

  template <class Traits>
  using Weights = weights_of<Inner, Traits>;
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return detail::make_weights<Traits>(inner, sizes);
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own, random);
  }

  XMOE_HD index max_assignments(index tokens, index experts) const { return tokens * experts; }

  template <class R>
  XMOE_HD index row(SelectRow<R> row) const requires(detail::RowSelectAlone<Inner, R>) {
    return this->row(row, NoWeights{});
  }
  template <class R>
  XMOE_HD index row(SelectRow<R> row, const auto& own) const {
    if ((at_inference || row.site.training()) &&
        entropy_of(row.scores) >= static_cast<R>(entropy)) {
      Descending<R> order = row.descending();
      index count = 0;
      while (count < row.chosen.size() && order.next(row.chosen[count])) {
        ++count;
      }
      return count;
    }
    const index room = detail::room_in_any_order(inner, 1, row.experts());
    row.chosen.count = room < row.chosen.size() ? room : row.chosen.size();
    return detail::choose(inner, row, own);
  }

  void check(Sizes sizes) const {
    if (is_nan(entropy)) {
      detail::fail<value_error>("xmoe::select::Broadcast: entropy is %g, must be a number",
                                static_cast<double>(entropy));
    }
    detail::check(inner, sizes);
  }

 private:
  template <class R>
  XMOE_HD static R entropy_of(VectorView<const R> scores) {
    R sum = R(0);
    for (index e = 0; e < scores.size(); ++e) {
      sum -= scores[e] > R(0) ? scores[e] * std::log(scores[e]) : R(0);
    }
    return sum;
  }
};
static_assert(Select<Broadcast<>>);

}  // namespace xmoe::inline XMOE_ABI::select
