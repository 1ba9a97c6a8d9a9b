// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/by_token.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Expert choice: every expert takes its C best tokens. Loads are equal by construction; a token
/// may get no expert, or all.
///
/// A token's experts depend on its batch mates, later tokens included: do not decode with it token
/// by token what was trained on whole texts.
///
///   in      scores [T,E]; T below counts valid tokens
///   out     C = capacity, or max(1, round(k T / E)), halves up; at most T; fewer tokens only if
///           fewer may take the expert (a key of -Inf never)
///   ties    the lower token first; experts of a token best first, then the lower index
///   grad    none: the choice counts as constant
///   cost    O(T E): one transposed pass in tiles, a selection a column in parallel over experts,
///           two passes by token
///   throws  value_error unless 0 < k <= E and capacity >= 0
///   source  arXiv 2202.09368; google/flaxformer, flaxformer/architectures/moe/routing.py
struct Column {
  double k = 2.0;      ///< experts a token on average
  index capacity = 0;  ///< tokens an expert; 0 = from k

  /// C for that many valid tokens.
  index tokens_per_expert(index tokens, index experts) const {
    const double share = k * static_cast<double>(tokens) / static_cast<double>(experts);
    const index wanted = capacity > 0 ? capacity : static_cast<index>(share + 0.5);
    return std::min(std::max(wanted, index(1)), tokens);
  }
  index max_assignments(index tokens, index experts) const {
    return experts * tokens_per_expert(tokens, experts);
  }

  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    using R = typename Traits::routing;
    const index tokens = in.scores.rows();
    const index experts = in.scores.cols();
    const index threads = ctx.backend.threads();
    // Columns of one cache line of a row, or fewer so that every thread gets some.
    const index line = 64 / static_cast<index>(sizeof(R));
    const index width = std::clamp((experts + threads - 1) / threads, index(1), line);
    const Workspace::Scope scope(ctx.workspace);
    auto* columns = ctx.workspace.template take<Candidate<R>>(threads * width * tokens);
    auto* rows = ctx.workspace.template take<Candidate<R>>(threads * experts);
    auto* cuts = ctx.workspace.template take<detail::PairCut>(experts);
    if (ctx.measuring()) {
      return;
    }
    const index most = tokens_per_expert(detail::count_valid(in), experts);
    ctx.backend.parallel((experts + width - 1) / width, [&](index item, index worker) {
      Candidate<R>* const own = columns + worker * width * tokens;
      const index first = item * width;
      const index count = std::min(width, experts - first);
      index filled[64] = {};
      for (index t = 0; t < tokens; ++t) {
        for (index i = 0; i < count && in.is_valid(t); ++i) {
          const auto candidate = Candidate<R>::make(in.key(t, first + i), t);
          own[i * tokens + filled[i]] = candidate;
          filled[i] += candidate.allowed() ? 1 : 0;
        }
      }
      for (index i = 0; i < count; ++i) {
        cuts[first + i] = cut(in, first + i, own + i * tokens, filled[i], most);
      }
    });
    detail::write_by_token(ctx, in, rows, routing, [&](index t, index e, std::int64_t code) {
      return cuts[e].takes(code, t);
    });
  }

  void check(Sizes sizes) const {
    if (!(k > 0.0 && k <= static_cast<double>(sizes.experts)) || capacity < 0) {
      detail::fail<value_error>(
          "xmoe::select::Column: k is %g, capacity is %td; k must be above 0 and at most %td "
          "(experts), capacity 0 or more",
          k, capacity, sizes.experts);
    }
  }

 private:
  /// Where an expert's choice ends: its candidates are tokens.
  template <class R>
  static detail::PairCut cut(const SelectBatch<R>& in, index expert, Candidate<R>* column,
                             index count, index most) {
    if (count <= most) {
      return detail::PairCut::everything();
    }
    Candidate<R>* const last = column + most - 1;
    std::nth_element(column, last, column + count,
                     [](Candidate<R> a, Candidate<R> b) { return b < a; });
    const index token = last->expert();
    return {order_code(in.key(token, expert)), token};
  }
};
static_assert(BatchSelect<Column>);

}  // namespace xmoe::inline XMOE_ABI::select
