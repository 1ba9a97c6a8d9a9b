// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/by_token.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Another selector on scores that balance has shifted: exp(logits), rows and columns scaled to
/// equal sums in turn (Sinkhorn, optimal transport). Orders only: weights are made from the plain
/// scores. In inference the inner selector sees these, too.
///
/// In training a token's experts depend on its batch mates, later tokens included.
///
///   in      logits [T,E] of any score. T counts valid tokens with an allowed expert and no NaN or
///           +Inf; E experts that one of these may take
///   out     what `inner` chooses from order = d0 exp(z) d1, rows adding up to 1/T, columns to 1/E:
///             d0_t = 1/T / (sum_e exp(z_te) d1_e + guard), d1_e = 1/E / (sum_t d0_t exp(z_te) +
///             guard), until d1 moves by `tolerance` or less on average
///           z less the largest of its row, which changes nothing but the guard's share
///   ties    as inner
///   grad    none: the choice counts as constant
///   cost    one number for each of [T,E] and a pass over them an iteration, in parallel over
///           blocks of tokens whose sums are added in one order; then inner
///   throws  value_error unless tolerance >= 0, max_iterations >= 1, guard >= 0; as inner
///   source  arXiv 2202.01169 (S-BASE); NVIDIA/Megatron-LM,
///           megatron/core/transformer/moe/moe_utils.py
template <Select Inner>
struct Transported {
  Inner inner{};
  double tolerance = 1e-4;     ///< mean change of d1 that ends it
  index max_iterations = 100;  ///< without masks few are used
  double guard = 1e-8;         ///< added to sums; 0: balances rows of any range

  static_assert(
      !requires { Inner::needs_probabilities; },
      "xmoe::select::Transported: rows of the transport sum to 1/T, no mass to collect; use a "
      "selector that only orders, such as select::TopK");

  index max_assignments(index tokens, index experts) const {
    return inner.max_assignments(tokens, experts);
  }

  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    using R = typename Traits::routing;
    const index tokens = in.scores.rows();
    const index experts = in.scores.cols();
    const Workspace::Scope scope(ctx.workspace);
    SelectBatch<R> ordered = in;
    if (ctx.training()) {
      const MatrixView<R> order(ctx.workspace.template take<R>(tokens * experts), tokens, experts);
      transport(ctx, in, order);
      ordered.scores = order;
    }
    if constexpr (RowSelect<Inner>) {
      choose(ctx, ordered, routing);
    } else {
      inner.batch(ctx, ordered, routing);
    }
  }

  void check(Sizes sizes) const {
    detail::check(inner, sizes);
    if (!(tolerance >= 0.0 && guard >= 0.0) || max_iterations < 1) {
      detail::fail<value_error>(
          "xmoe::select::Transported: tolerance is %g, guard is %g, max_iterations is %td; need 0 "
          "or more, 0 or more, 1 or more",
          tolerance, guard, max_iterations);
    }
  }

 private:
  static constexpr index block = 32;  ///< tokens whose sums are added first

  /// Every token's row through inner.
  template <class Traits, class R>
  void choose(Context<Traits>& ctx, const SelectBatch<R>& in, RoutingView<R>& routing) const {
    static_assert(
        requires(const SelectRow<R>& row) { inner.row(row); },
        "xmoe::select::Transported: the inner selector has weights of its own; it can have none "
        "here");
    const index experts = in.scores.cols();
    const index width = inner.max_assignments(1, experts);
    const index threads = ctx.backend.threads();
    auto* candidates = ctx.workspace.template take<Candidate<R>>(threads * experts);
    R* changed = ctx.workspace.template take<R>(threads * experts);
    if (ctx.measuring()) {
      return;
    }
    detail::for_each_token(ctx, in.scores.rows(), [&](index t, index worker) {
      const SelectRow<R> row{in.scores.row(t),
                             {},
                             {routing.expert + t * width, width},
                             {candidates + worker * experts, experts},
                             in.logits.row(t),
                             {changed + worker * experts, experts},
                             {t, in.ids.size() == 0 ? 0 : in.ids[t], ctx.mode, ctx.random}};
      routing.offsets[t + 1] = in.is_valid(t) ? inner.row(row) : 0;
    });
    detail::pack_by_token(routing, width);
    routing.valid_tokens = detail::count_valid(in);
  }

  /// Sums stay in a range where nothing overflows, masks or not.
  double sum(double s) const { return std::max(s + guard, 1e-150); }

  template <class Traits, class R>
  void transport(Context<Traits>& ctx, const SelectBatch<R>& in, MatrixView<R> order) const {
    const index tokens = order.rows();
    const index experts = order.cols();
    const index blocks = (tokens + block - 1) / block;
    const Workspace::Scope scope(ctx.workspace);
    auto* d0 = ctx.workspace.template take<double>(tokens);
    auto* d1 = ctx.workspace.template take<double>(experts);
    auto* sums = ctx.workspace.template take<double>(blocks * experts);
    if (ctx.measuring()) {
      return;
    }
    const auto each = [&](const auto& body) {  // body(token, sums of its block), ascending
      ctx.backend.parallel(blocks, [&](index b, index) {
        double* const own = sums + b * experts;
        std::fill(own, own + experts, 0.0);
        for (index t = b * block; t < std::min((b + 1) * block, tokens); ++t) {
          body(t, own);
        }
      });
    };
    const auto total = [&](index e) {
      double s = 0.0;
      for (index b = 0; b < blocks; ++b) {
        s += sums[b * experts + e];
      }
      return s;
    };
    each([&](index t, double* own) {
      d0[t] = in.is_valid(t) ? start(in, t, order.row(t)) : 0.0;  // 0: takes no part
      for (index e = 0; e < experts && d0[t] != 0.0; ++e) {
        own[e] += is_negative_infinity(in.logits(t, e)) ? 0.0 : 1.0;
      }
    });
    double rows = 0.0, cols = 0.0;
    for (index t = 0; t < tokens; ++t) {
      rows += d0[t];
    }
    for (index e = 0; e < experts; ++e) {
      d1[e] = total(e) > 0.0 ? 1.0 : 0.0;
      cols += d1[e];
    }
    double moved = tolerance * cols + cols;  // 0: nothing to do
    for (index i = 0; i < max_iterations && moved > tolerance * cols; ++i) {
      each([&](index t, double* own) {
        if (d0[t] != 0.0) {
          const R* const row = order.row_data(t);
          double s = 0.0;
          for (index e = 0; e < experts; ++e) {
            s += static_cast<double>(row[e]) * d1[e];
          }
          d0[t] = 1.0 / rows / sum(s);
          for (index e = 0; e < experts; ++e) {
            own[e] += static_cast<double>(row[e]) * d0[t];
          }
        }
      });
      moved = 0.0;
      for (index e = 0; e < experts; ++e) {
        const double next = d1[e] > 0.0 ? 1.0 / cols / sum(total(e)) : 0.0;
        moved += std::abs(next - d1[e]);
        d1[e] = next;
      }
    }
    each([&](index t, double*) {
      for (index e = 0; e < experts && d0[t] != 0.0; ++e) {
        order(t, e) = static_cast<R>(d0[t] * static_cast<double>(order(t, e)) * d1[e]);
      }
    });
  }

  /// exp(logits) of a token over their largest; NaN, behind everything, where that is not possible.
  /// Returns 1, or 0 if the token takes no part.
  template <class R>
  static double start(const SelectBatch<R>& in, index t, VectorView<R> row) {
    R most = std::numeric_limits<R>::lowest();
    bool finite = true, any = false;
    for (index e = 0; e < row.size(); ++e) {
      const R z = in.logits(t, e);
      finite = finite && !is_nan_or_positive_infinity(z);
      any = any || is_finite(z);
      most = is_finite(z) && z > most ? z : most;
    }
    finite = finite && any;
    for (index e = 0; e < row.size(); ++e) {
      const R z = in.logits(t, e);
      row[e] = !finite ? std::numeric_limits<R>::quiet_NaN()
                       : (is_negative_infinity(z) ? R(0) : math::exp(z - most));
    }
    return finite ? 1.0 : 0.0;
  }
};

}  // namespace xmoe::inline XMOE_ABI::select
