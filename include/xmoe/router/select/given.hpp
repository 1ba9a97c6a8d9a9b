// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/by_token.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// A choice that was made elsewhere: by an earlier layer (pre-gating), in an earlier call (replay),
/// by a table. The experts stay; their weights are made from today's scores, so that the gradient
/// reaches the router. To keep the weights as well, use `layer.apply`.
///
///     layer.config().router.select = {routing.offsets(), routing.expert()};  // a Routing
///
/// Points into somebody's memory: that must outlive every call.
///
///   in      the number of tokens must be the same; padding gets no expert, given or not
///   out     the given experts, in the given order
///   ties    none
///   grad    none: the choice counts as constant
///   cost    O(N)
///   throws  shape_error if offsets do not count T tokens and N experts; value_error naming the
///           first expert that is out of range or masked
struct Given {
  std::span<const index> offsets{};        ///< [T+1] from 0, never falling
  std::span<const std::int32_t> expert{};  ///< [N]

  /// For the number of tokens that is given; others are refused by `batch`.
  index max_assignments(index, index) const { return static_cast<index>(expert.size()); }

  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    if (ctx.measuring()) {
      return;
    }
    const index tokens = offsets.empty() ? 0 : static_cast<index>(offsets.size()) - 1;
    check({.experts = in.scores.cols()});
    if (tokens != in.scores.rows()) {
      detail::fail<shape_error>("xmoe::select::Given: a choice for %td tokens, the call has %td",
                                tokens, in.scores.rows());
    }
    index count = 0;
    routing.offsets[0] = 0;
    for (index t = 0; t < tokens; ++t) {
      const index end = offsets.data()[t + 1];
      for (index a = offsets.data()[t]; a < end && in.is_valid(t); ++a) {
        const std::int32_t e = expert.data()[a];
        if (is_negative_infinity(in.key(t, e).value)) {
          detail::fail<value_error>(
              "xmoe::select::Given: token %td is given expert %d, which is masked for it", t,
              static_cast<int>(e));
        }
        routing.expert[count++] = e;
      }
      routing.offsets[t + 1] = count;
    }
    routing.valid_tokens = detail::count_valid(in);
  }

  void check(Sizes sizes) const {
    const index tokens = offsets.empty() ? 0 : static_cast<index>(offsets.size()) - 1;
    const index total = static_cast<index>(expert.size());
    for (index t = 0; t < tokens; ++t) {
      if (offsets.data()[t + 1] < offsets.data()[t]) {
        detail::fail<shape_error>("xmoe::select::Given: offsets fall from %td to %td at token %td",
                                  offsets.data()[t], offsets.data()[t + 1], t);
      }
    }
    if ((tokens > 0 && offsets.front() != 0) || (tokens > 0 ? offsets.back() : 0) != total) {
      detail::fail<shape_error>(
          "xmoe::select::Given: offsets of %td tokens run from %td to %td, must run from 0 to %td "
          "(experts given)",
          tokens, tokens > 0 ? offsets.front() : 0, tokens > 0 ? offsets.back() : 0, total);
    }
    for (index a = 0; a < total; ++a) {
      if (expert.data()[a] < 0 || expert.data()[a] >= sizes.experts) {
        detail::fail<value_error>("xmoe::select::Given: expert[%td] is %d, must be in 0 .. %td", a,
                                  static_cast<int>(expert.data()[a]), sizes.experts - 1);
      }
    }
  }
};
static_assert(BatchSelect<Given>);

}  // namespace xmoe::inline XMOE_ABI::select
