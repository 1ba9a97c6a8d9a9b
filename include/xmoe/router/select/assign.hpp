// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/auction.hpp>
#include <xmoe/router/select/by_token.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// Balanced assignment: one expert a token, as many tokens for every expert, and under that the
/// largest sum of scores. In inference every token takes its best expert instead, unless
/// balanced_in_inference.
///
/// A token's expert depends on its batch mates, later tokens included, wherever it is balanced.
///
///   in      scores [T,E]; NaN counts as the lowest finite score, +Inf as the highest. T counts
///           tokens that may go anywhere, E experts that some token may take
///   out     every expert gets floor(T/E) or ceil(T/E) tokens, whichever sums to more; the sum lies
///           within E ceil(T/E) eps of the largest one: scores that are multiples of a step are
///           assigned exactly if eps is below step / (E ceil(T/E)). If balance leaves a token only
///           an expert that it may not take (as seldom as possible), it gets none
///   ties    all scores equal: the tokens in E runs; else any. In inference the lower index
///   grad    none: the choice counts as constant
///   cost    a double for each of [T,E]; an auction whose rounds are parallel over tokens without
///           an expert. It ends; sooner the larger eps is
///   throws  value_error unless eps > 0
///   source  arXiv 2103.16716; auction: D. Bertsekas and D. Castanon, "The auction algorithm for
///           the transportation problem", 1989
struct Assign {
  float eps = 1e-3f;  ///< least rise of a bid, in units of scores; 2^-36 of their range, or of T
                      ///< times it where some are masked, if that is more (rounding)
  bool balanced_in_inference = false;  ///< false: the best expert of each token

  static constexpr index always_experts = 1;  ///< every token gets exactly this many

  index max_assignments(index tokens, index) const { return tokens; }

  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    using R = typename Traits::routing;
    const index tokens = in.scores.rows();
    const index experts = in.scores.cols();
    const Workspace::Scope scope(ctx.workspace);
    detail::Auction auction = detail::Auction::take(ctx.workspace, tokens, experts);
    auto* places = ctx.workspace.template take<std::int32_t>(tokens + experts);
    auto* wanted = ctx.workspace.template take<std::uint8_t>(experts);
    if (ctx.measuring()) {
      return;
    }
    detail::for_each_token(ctx, tokens, [&](index t, index) {
      routing.expert[t] = in.is_valid(t) ? best(in, t) : -1;
    });
    if (ctx.training() || balanced_in_inference) {
      balance(ctx, in, auction, places, wanted, routing.expert);
    }
    for (index t = 0; t < tokens; ++t) {
      const std::int32_t e = routing.expert[t];
      routing.offsets[t + 1] = e >= 0 && order_code(in.key(t, e)) != forbidden_code<R> ? 1 : 0;
    }
    detail::pack_by_token(routing, 1);
    routing.valid_tokens = detail::count_valid(in);
  }

  void check(Sizes) const {
    if (!(eps > 0.f)) {
      detail::fail<value_error>("xmoe::select::Assign: eps is %g, must be above 0",
                                static_cast<double>(eps));
    }
  }

 private:
  /// The best expert of a token, -1 if it may take none.
  template <class R>
  static std::int32_t best(const SelectBatch<R>& in, index t) {
    std::int32_t expert = -1;
    std::int64_t code = 0;
    for (index e = 0; e < in.scores.cols(); ++e) {
      const std::int64_t other = order_code(in.key(t, e));
      if (other != forbidden_code<R> && (expert < 0 || other > code)) {
        expert = static_cast<std::int32_t>(e);
        code = other;
      }
    }
    return expert;
  }
  /// A score as a number whose differences and sums are finite; not finite: `otherwise`.
  template <class R>
  static double number(R score, double otherwise) {
    return is_finite(score) ? std::clamp(static_cast<double>(score), -1e290, 1e290) : otherwise;
  }

  /// Replaces the experts of all tokens that have one.
  template <class Traits>
  void balance(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
               detail::Auction& auction, std::int32_t* places, std::uint8_t* wanted,
               std::int32_t* expert) const {
    using R = typename Traits::routing;
    // who takes part, and the range of scores
    std::int32_t* const token_at = places;
    std::int32_t* const expert_at = places + in.scores.rows();
    index rows = 0, cols = 0;
    double low = std::numeric_limits<double>::max(), high = -low;
    std::fill(wanted, wanted + in.scores.cols(), std::uint8_t(0));
    for (index t = 0; t < in.scores.rows(); ++t) {
      if (expert[t] < 0) {
        continue;
      }
      token_at[rows++] = static_cast<std::int32_t>(t);
      for (index e = 0; e < in.scores.cols(); ++e) {
        if (order_code(in.key(t, e)) != forbidden_code<R>) {
          wanted[e] = 1;
          low = std::min(low, number(in.scores(t, e), low));
          high = std::max(high, number(in.scores(t, e), high));
        }
      }
    }
    for (index e = 0; e < in.scores.cols(); ++e) {
      if (wanted[e] != 0) {
        expert_at[cols++] = static_cast<std::int32_t>(e);
      }
    }
    if (rows == 0) {
      return;
    }
    if (low > high) {  // nothing finite: all equal
      low = high = 0.0;
    }
    auction.start(rows, cols);
    // A pair that is not allowed costs more than all others together may bring.
    const double span = high - low;
    const double never = -static_cast<double>(auction.persons() + 1) * (span + eps);
    detail::for_each_token(ctx, rows, [&](index i, index) {
      for (index j = 0; j < cols; ++j) {
        const index t = token_at[i], e = expert_at[j];
        const R score = in.scores(t, e);
        const bool masked = order_code(in.key(t, e)) == forbidden_code<R>;
        auction.value(i, j) = masked ? never : number(score, is_nan(score) ? low : high) - low;
      }
    });
    auction.run(ctx, static_cast<double>(eps));
    for (index i = 0; i < rows; ++i) {
      expert[token_at[i]] = expert_at[auction.expert(i)];
    }
  }
};
static_assert(BatchSelect<Assign>);

}  // namespace xmoe::inline XMOE_ABI::select
