// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/router.hpp>

namespace xmoe::inline XMOE_ABI {

/// Experts from a table over what x does not say: token id (hash layers), word, task, domain,
/// modality. No scores, nothing is learnt, no gradient passes the router.
///
///   table   [I,n] experts of every id, best first; -1 = no expert in this place. Row
///           Batch::ids[t] is token t's. The memory stays the caller's
///   out     at most n experts a token, each with weight `weight`, or with an equal share of 1
///   losses  those on scores have nothing to read: the decision's logits and scores are zeros
///   cost    O(N)
///   throws  value_error for an id without a row, an expert out of range, a call without ids
///   source  arXiv 2106.04426 (token ids), arXiv 2108.05036 (domains)
struct Lookup {
  MatrixView<const std::int32_t> table{};
  bool equal_share = false;  ///< weights 1 / (experts of the token) instead of `weight`
  float weight = 1.f;

  index max_assignments(index tokens, index) const { return tokens * table.cols(); }

  void check(Sizes sizes) const {
    for (index i = 0; i < table.rows(); ++i) {
      for (index r = 0; r < table.cols(); ++r) {
        if (table(i, r) < -1 || table(i, r) >= sizes.experts) {
          detail::fail<value_error>(
              "xmoe::Lookup: the table names expert %d for id %td, must be in -1 .. %td",
              static_cast<int>(table(i, r)), i, sizes.experts - 1);
        }
      }
    }
  }

  template <class Traits, class Own>
  Decision<typename Traits::routing> forward(Context<Traits>& ctx, const Own&,
                                             const Batch<typename Traits::scalar>& batch,
                                             index experts) const {
    using R = typename Traits::routing;
    const index tokens = batch.x.rows();
    Decision<R> decision;
    R* zeros = ctx.keep.template take<R>(tokens * experts);
    decision.logits = decision.scores = {zeros, tokens, experts};
    decision.routing =
        RoutingView<R>::take(ctx.keep, tokens, experts, max_assignments(tokens, experts));
    if (ctx.measuring()) {
      return decision;
    }
    std::fill(zeros, zeros + tokens * experts, R(0));
    RoutingView<R>& routing = decision.routing;
    routing.offsets[0] = 0;
    routing.valid_tokens = 0;
    for (index t = 0; t < tokens; ++t) {
      const index begin = routing.offsets[t];
      index end = begin;
      if (batch.is_valid(t)) {
        const index id = row_of(batch, t);
        for (index r = 0; r < table.cols(); ++r) {
          if (table(id, r) >= 0) {
            routing.expert[end++] = table(id, r);
          }
        }
        ++routing.valid_tokens;
      }
      for (index a = begin; a < end; ++a) {
        routing.weight[a] =
            equal_share ? R(1) / static_cast<R>(end - begin) : static_cast<R>(weight);
        routing.score[a] = routing.weight[a];
      }
      routing.offsets[t + 1] = end;
    }
    return decision;
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>&, const Own&, const Batch<typename Traits::scalar>&,
                const Decision<typename Traits::routing>&,
                const DecisionGradient<typename Traits::routing>&, Gradients&,
                MatrixView<typename Traits::scalar>) const {}

 private:
  template <class S>
  index row_of(const Batch<S>& batch, index t) const {
    if (batch.ids.size() == 0 && table.rows() != 1) {
      detail::fail<value_error>("xmoe::Lookup: the call has no ids, the table has %td rows",
                                table.rows());
    }
    const index id = table.rows() == 1 ? 0 : batch.id(t);
    if (id < 0 || id >= table.rows()) {
      detail::fail<value_error>("xmoe::Lookup: the id of token %td is %td, the table has %td rows",
                                t, id, table.rows());
    }
    return id;
  }
};
static_assert(RouterPolicy<Lookup> && DifferentiableRouter<Lookup>);

}  // namespace xmoe::inline XMOE_ABI
