// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>
#include <xmoe/core/draws.hpp>
#include <xmoe/router/near_best.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// A random expert among those close to the best, with probability softmax over them; then the next
/// from what is left. In inference the best ones, in order.
///
/// For weigh::Midpoint and weigh::Heun, which estimate the gradient of the choice.
///
///   in      keys [E]: take score::Identity, so that they are logits
///   out     k experts in the order of the draws; fewer only if fewer are allowed
///   ties    the lower index
///   grad    none from here: see weigh::Sampled
///   cost    O(k E), while training with two logarithms an expert
///   throws  value_error unless margin is finite and >= 0 and k is 1 or 2, at most E
///   source  arXiv 2310.00811 (k 1), arXiv 2409.12136 (k 2); published for 1 and 2 only
struct Draw {
  static constexpr bool draws = true;

  float margin = 0.1f;  ///< how close: see NearBest
  index k = 1;

  index max_assignments(index tokens, index) const { return tokens * k; }

  template <class R>
  XMOE_HD index row(const SelectRow<R>& row) const {
    return choose(row, Gumbel<R>{row.site, row.experts()});
  }
  /// The same with draws of your own: gumbel(rank, expert).
  template <class R, class Draws>
  XMOE_HD index choose(const SelectRow<R>& row, const Draws& gumbel) const {
    for (index e = 0; e < row.experts(); ++e) {
      row.scratch[e] = row.key(e).value;
    }
    const VectorView<const R> keys(row.scratch);
    index count = 0;
    while (count < row.chosen.size()) {
      const NearBest<R> near(keys, {row.chosen.data(), count}, static_cast<R>(margin));
      Candidate<R> best = {};
      bool found = false;
      for (index e = 0; e < row.experts(); ++e) {
        if (near.contains(e)) {
          const R noise = row.site.training() ? gumbel(count, e) : R(0);
          const auto candidate = Candidate<R>::make({keys[e] + noise}, e);
          best = found && candidate < best ? best : candidate;
          found = true;
        }
      }
      if (!found) {
        break;
      }
      row.chosen[count++] = best.expert();
    }
    return count > 0 ? count : first_of_nothing(row);
  }

  void check(Sizes sizes) const {
    if (k < 1 || k > 2 || k > sizes.experts || is_nan(margin) || margin < 0.f) {
      detail::fail<value_error>(
          "xmoe::select::Draw: k is %td, margin is %g; k must be 1 or 2 and at most %td (experts), "
          "margin 0 or more",
          k, static_cast<double>(margin), sizes.experts);
    }
  }

 private:
  template <class R>
  struct Gumbel {
    RowSite site;
    index experts;

    XMOE_HD R operator()(index rank, index expert) const {
      return xmoe::draws::gumbel<R>(
          site.random.fork(0x6472617700000000u + static_cast<std::uint64_t>(rank)),
          site.position(expert, experts));
    }
  };
  /// A row without any number: NaN, if there are any, is passed on.
  template <class R>
  XMOE_HD static index first_of_nothing(const SelectRow<R>& row) {
    return row.descending().next(row.chosen[0]) ? 1 : 0;
  }
};
static_assert(RowSelect<Draw>);

}  // namespace xmoe::inline XMOE_ABI::select
