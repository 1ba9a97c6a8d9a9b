// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/gate.hpp>
#include <xmoe/concepts/router.hpp>
#include <xmoe/concepts/score.hpp>
#include <xmoe/concepts/select.hpp>
#include <xmoe/concepts/weigh.hpp>
#include <xmoe/router/weigh/raw.hpp>

#include <cstring>

namespace xmoe::inline XMOE_ABI {

/// What to do about a logit that is NaN or +Inf (from a token or from the weights).
enum class NonFinite {
  refuse,     ///< value_error naming token and expert, before anything is written
  propagate,  ///< route on: the token's experts are distinct and in range, its output is NaN
};

/// Gate, then Score, then Select, then Weigh: four independent choices.
///
///   x [T,D] --gate--> logits [T,E] --score--> scores [T,E] --select--> ids --weigh--> weights
///
///   in      tokens; padding is skipped and gets no expert
///   out     Decision: logits, scores, routing (by token, best expert first)
///   ties    the lower index; total order finite > NaN. An expert with a logit of -Inf is masked:
///           it is never chosen, and a token without any other gets no expert
///   grad    through the weights; the choice is constant. Losses add dscores and dlogits
///   cost    the gate's product, then one pass over [T,E] in parallel over tokens
///   throws  value_error for non-finite logits (see NonFinite), bad hyper-parameters
template <class G, class S, class Sel, class W = weigh::Raw>
struct Router {
  static_assert(Gate<G>,
                "xmoe::Router: the first argument is not a Gate: it needs forward(ctx, own, batch, "
                "logits) const -> void; see <xmoe/concepts/gate.hpp>");
  static_assert(Score<S>,
                "xmoe::Router: the second argument is not a Score: it needs row(logits, scores) "
                "const -> void; see <xmoe/concepts/score.hpp>");
  static_assert(
      Select<Sel>,
      "xmoe::Router: the third argument is not a Select: it needs row(SelectRow) const -> "
      "index, or batch(ctx, SelectBatch, routing), and max_assignments(tokens, experts); see "
      "<xmoe/concepts/select.hpp>");
  static_assert(Weigh<W>,
                "xmoe::Router: the fourth argument is not a Weigh: it needs row(WeighRow, weights) "
                "const -> void; see <xmoe/concepts/weigh.hpp>");
  static_assert(
      [] {
        if constexpr (requires {
                        Sel::always_experts;
                        W::constant_for_one;
                      }) {
          return !(Sel::always_experts == 1 && W::constant_for_one);
        }
        return true;
      }(),
      "xmoe::Router: this router could never learn: with one expert a token, weights renormalised "
      "over the choice are always 1 and pass no gradient; use weigh::Raw");
  static_assert(
      [] {
        if constexpr (requires {
                        Sel::needs_probabilities;
                        S::probabilities;
                      }) {
          return !(Sel::needs_probabilities && !S::probabilities);
        }
        return true;
      }(),
      "xmoe::Router: this selector collects probability mass, but rows of the score do not sum to "
      "1; use score::Softmax");

  static_assert(
      [] {
        if constexpr (requires { W::needs_draw; }) {
          return requires { Sel::draws; };
        }
        return true;
      }(),
      "xmoe::Router: weigh::Midpoint and weigh::Heun estimate the gradient of a random choice; use "
      "select::Draw");

  G gate{};
  S score{};
  Sel select{};
  W weigh{};
  NonFinite nonfinite = NonFinite::refuse;

  template <class Traits>
  struct Weights {
    weights_of<G, Traits> gate;
    weights_of<Sel, Traits> select;

    static void tensors(auto& own, auto&& visit) {
      detail::nested(own.gate, "gate.", visit);
      detail::nested(own.select, "select.", visit);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {detail::make_weights<Traits>(gate, sizes), detail::make_weights<Traits>(select, sizes)};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(gate, own.gate, random.fork(1));
    detail::initialize<Traits>(select, own.select, random.fork(2));
  }
  void check(Sizes sizes) const {
    detail::check(gate, sizes);
    detail::check(score, sizes);
    detail::check(select, sizes);
    detail::check(weigh, sizes);
    if constexpr (requires { W::needs_draw; }) {
      if (weigh.margin != select.margin) {
        detail::fail<value_error>(
            "xmoe::Router: the margin of select::Draw is %g, that of its weights %g: must be equal",
            static_cast<double>(select.margin), static_cast<double>(weigh.margin));
      }
    }
  }
  /// What training needs on top: a way for the router to learn.
  void check_training(Sizes sizes) const {
    if constexpr (requires { W::constant_for_one; }) {
      if (W::constant_for_one && max_assignments(1, sizes.experts) == 1 && sizes.experts > 1) {
        detail::fail<value_error>(
            "xmoe::Router: with one expert a token (of %td), weights renormalised over the choice "
            "are always 1 and the router never learns; use weigh::Raw",
            sizes.experts);
      }
    }
  }
  index max_assignments(index tokens, index experts) const {
    return select.max_assignments(tokens, experts);
  }

  template <class Traits, class Own>
  Decision<typename Traits::routing> forward(Context<Traits>& ctx, const Own& own,
                                             const Batch<typename Traits::scalar>& batch,
                                             index experts) const {
    using R = typename Traits::routing;
    const index tokens = batch.x.rows();
    const index width = RowSelect<Sel> ? max_assignments(1, experts) : 0;
    Decision<R> decision;
    decision.logits = {ctx.keep.template take<R>(tokens * experts), tokens, experts};
    decision.scores = {ctx.keep.template take<R>(tokens * experts), tokens, experts};
    decision.routing =
        RoutingView<R>::take(ctx.keep, tokens, experts, max_assignments(tokens, experts));

    const Workspace::Scope scope(ctx.workspace);
    const index rows = RowSelect<Sel> ? ctx.backend.threads() * experts : 0;
    auto* candidates = ctx.workspace.template take<Candidate<R>>(rows);
    R* changed = ctx.workspace.template take<R>(rows);
    gate.forward(ctx, own.gate, batch, decision.logits);
    if (ctx.measuring()) {
      if constexpr (BatchSelect<Sel>) {
        select.batch(ctx, SelectBatch<R>{decision.scores, decision.logits, batch.valid, batch.ids},
                     decision.routing);
      }
      return decision;
    }
    refuse_nonfinite(ctx, MatrixView<const R>(decision.logits), batch);

    // every row on its own: scores and choice; the choice first into its own stretch of `expert`
    RoutingView<R>& routing = decision.routing;
    for_blocks(ctx, tokens, [&](index t, index worker) {
      const VectorView<R> scores = decision.scores.row(t);
      score.row(VectorView<const R>(decision.logits.row(t)), scores);
      if constexpr (RowSelect<Sel>) {
        const SelectRow<R> row{scores,
                               {},
                               {routing.expert + t * width, width},
                               {candidates + worker * experts, experts},
                               decision.logits.row(t),
                               {changed + worker * experts, experts},
                               site(ctx, batch, t)};
        routing.offsets[t + 1] = batch.is_valid(t) ? choose(row, own.select) : 0;
      }
    });
    if constexpr (RowSelect<Sel>) {
      pack(routing, width, batch);
    } else {
      select.batch(ctx, SelectBatch<R>{decision.scores, decision.logits, batch.valid, batch.ids},
                   routing);
    }
    for_blocks(ctx, tokens, [&](index t, index) {
      const index begin = routing.begin(t);
      const index count = routing.end(t) - begin;
      weigh.row(row_of(decision, site(ctx, batch, t)),
                VectorView<R>{routing.weight + begin, count});
      for (index a = begin; a < begin + count; ++a) {
        routing.score[a] = decision.scores(t, routing.expert[a]);
      }
    });
    return decision;
  }

  template <class Traits, class Own, class Gradients>
  requires(DifferentiableGate<G>&& DifferentiableScore<S>&& DifferentiableWeigh<W>) void backward(
      Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
      const Decision<typename Traits::routing>& decision,
      const DecisionGradient<typename Traits::routing>& upstream, Gradients& gradients,
      MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    const index tokens = decision.routing.tokens;
    const index experts = decision.routing.experts;
    const index padded = Panels<R>(0, experts, 0).padded_rows();
    const Workspace::Scope scope(ctx.workspace);
    R* dz = ctx.workspace.template take<R>(tokens * padded);
    R* ds = ctx.workspace.template take<R>(ctx.backend.threads() * experts);
    const MatrixView<R> dlogits(dz, tokens, experts, padded);
    if (!ctx.measuring()) {
      for_blocks(ctx, tokens, [&](index t, index worker) {
        const VectorView<R> dscores{ds + worker * experts, experts};
        start(dscores, upstream.dscores, t, experts);
        start(dlogits.row(t), upstream.dlogits, t, padded);
        if (!batch.is_valid(t)) {  // no gradient; its scores may be anything, NaN included
          return;
        }
        const index begin = decision.routing.begin(t);
        const index count = decision.routing.end(t) - begin;
        weigh.row_backward(row_of(decision, site(ctx, batch, t)),
                           VectorView<const R>{decision.routing.weight + begin, count},
                           VectorView<const R>{upstream.dweight.data() + begin, count}, dscores,
                           dlogits.row(t));
        score.row_backward(VectorView<const R>(decision.logits.row(t)),
                           VectorView<const R>(decision.scores.row(t)),
                           VectorView<const R>(dscores), dlogits.row(t));
      });
    }
    gate.backward(ctx, own.gate, batch, MatrixView<const R>(dlogits), gradients.gate, dx);
  }

 private:
  static constexpr index block = 32;  ///< rows that one thread takes at a time

  template <class Ctx, class F>
  static void for_blocks(Ctx& ctx, index tokens, F&& body) {
    ctx.backend.parallel((tokens + block - 1) / block, [&](index item, index worker) {
      const index last = (item + 1) * block < tokens ? (item + 1) * block : tokens;
      for (index t = item * block; t < last; ++t) {
        body(t, worker);
      }
    });
  }
  template <class R>
  index choose(const SelectRow<R>& row, const auto& own) const {
    if constexpr (requires { select.row(row, own); }) {
      return select.row(row, own);
    } else {
      return select.row(row);
    }
  }
  template <class R>
  static WeighRow<R> row_of(const Decision<R>& decision, RowSite site) {
    const index begin = decision.routing.begin(site.token);
    return {decision.logits.row(site.token),
            decision.scores.row(site.token),
            {decision.routing.expert + begin, decision.routing.end(site.token) - begin},
            site};
  }
  template <class Traits>
  static RowSite site(const Context<Traits>& ctx, const auto& batch, index t) {
    return {t, batch.id(t), ctx.mode, ctx.random};
  }
  /// Counts to offsets; closes the gaps between the tokens' stretches.
  template <class R>
  static void pack(RoutingView<R>& routing, index width, const auto& batch) {
    routing.offsets[0] = 0;
    routing.valid_tokens = 0;
    for (index t = 0; t < routing.tokens; ++t) {
      const index count = routing.offsets[t + 1];
      std::memmove(routing.expert + routing.offsets[t], routing.expert + t * width,
                   static_cast<std::size_t>(count) * sizeof(std::int32_t));
      routing.offsets[t + 1] = routing.offsets[t] + count;
      routing.valid_tokens += batch.is_valid(t) ? 1 : 0;
    }
  }
  template <class R>
  static void start(VectorView<R> row, MatrixView<const R> from, index t, index padded) {
    for (index e = 0; e < row.size(); ++e) {
      row[e] = from.data() == nullptr ? R(0) : from(t, e);
    }
    for (index e = row.size(); e < padded; ++e) {
      row.data()[e] = R(0);
    }
  }
  template <class Ctx, class R>
  void refuse_nonfinite(Ctx& ctx, MatrixView<const R> logits, const auto& batch) const {
    if (nonfinite == NonFinite::propagate) {
      return;
    }
    index bad = ctx.backend.first_nonfinite(logits);
    while (bad >= 0 && !batch.is_valid(bad / logits.cols())) {  // padding may hold anything
      const index next = bad / logits.cols() + 1;
      const index found = ctx.backend.first_nonfinite(MatrixView<const R>(
          logits.row_data(next), logits.rows() - next, logits.cols(), logits.stride()));
      bad = found < 0 ? found : found + next * logits.cols();
    }
    if (bad >= 0) {
      detail::fail<value_error>(
          "xmoe::Router::forward: the logit of token %td, expert %td is %g: x or the gate's "
          "weights are not finite (Router::nonfinite = NonFinite::propagate routes on)",
          bad / logits.cols(), bad % logits.cols(),
          static_cast<double>(logits(bad / logits.cols(), bad % logits.cols())));
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI
