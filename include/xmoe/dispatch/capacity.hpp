// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/dispatch/priority.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace xmoe::inline XMOE_ABI::dispatch {

/// What `CapacityBy` takes its limit from.
enum class Limit {
  factor,    ///< ceil(T / E * factor), at least `minimum`
  absolute,  ///< `absolute` rows an expert, 0 included
  none,      ///< as Dropless
};

/// Every expert keeps at most C tokens; what is over vanishes: no rerouting, no renormalisation,
/// and a token without any kept expert has y = 0. Who is kept is the Priority's business.
///
///   C       min(max(ceil(T / E * factor), minimum), T); T = tokens that are not padding
///   in      routing
///   out     plan of the kept assignments, inside an expert by token; wanted and dropped counts
///   ties    see the Priority; at last the lower token
///   grad    none through dropped assignments
///   cost    counting sort, O(N + E), plus a selection in each expert that is over its limit
///   throws  value_error unless factors are positive and finite, counts not negative
///   source  arXiv 2101.03961; ysngki/XMoE mlp_gating.py (C, RankThenProbability)
///
/// With a binding C a token's output depends on the other tokens of the call.
template <priority::Priority Priority>
struct CapacityBy {
  static constexpr index placeholders = 0;

  Limit limit = Limit::factor;
  double factor = 1.0;                  ///< while training, and else too unless eval_factor is set
  std::optional<double> eval_factor{};  ///< outside of training
  index absolute = 0;
  index minimum = 4;

  /// C for T tokens and E experts.
  index capacity(Mode mode, index tokens, index experts) const {
    index c = tokens;
    if (limit == Limit::factor) {
      const double f = mode == Mode::train ? factor : eval_factor.value_or(factor);
      const double share =
          std::ceil(static_cast<double>(tokens) / static_cast<double>(experts) * f);
      c = share < static_cast<double>(tokens) ? static_cast<index>(share) : tokens;
      c = c < minimum ? minimum : c;
    } else if (limit == Limit::absolute) {
      c = absolute;
    }
    return c < tokens ? c : tokens;
  }

  void check(Sizes) const {
    const double eval = eval_factor.value_or(factor);
    const bool legal = is_finite(factor) && factor > 0.0 && is_finite(eval) && eval > 0.0;
    if (!legal || absolute < 0 || minimum < 0) {
      xmoe::detail::fail<value_error>(
          "xmoe::dispatch::Capacity: factor %g, eval_factor %g, absolute %td, minimum %td: factors "
          "must be positive and finite, counts not negative",
          factor, eval, absolute, minimum);
    }
  }

  template <class Traits>
  index max_rows(const Context<Traits>& ctx, index tokens, index experts, index assignments) const {
    const index full = capacity(ctx.mode, tokens, experts);
    return experts > 0 && full < assignments / experts ? experts * full : assignments;
  }

  template <class Traits, class R>
  PlanView plan(Context<Traits>& ctx, const RoutingView<R>& routing, index experts,
                index first = 0) const {
    const index total = routing.assignments();
    PlanView plan = PlanView::take(ctx.keep, routing.tokens, experts, total);
    plan.wanted = total;
    plan.kept = max_rows(ctx, routing.tokens, experts, total);
    const Workspace::Scope scope(ctx.workspace);
    auto* claims = ctx.workspace.template take<priority::Claim>(total);
    if (ctx.measuring()) {
      return plan;
    }
    plan.capacity = capacity(ctx.mode, routing.valid_tokens, experts);
    detail::group_by_expert(routing, first, plan);
    drop_surplus(ctx, routing, plan, claims);
    detail::index_rows(routing, plan);
    return plan;
  }

 private:
  /// Cuts every expert's stretch to the capacity's best claims, keeps token order, closes gaps.
  template <class Traits, class R>
  void drop_surplus(Context<Traits>& ctx, const RoutingView<R>& routing, PlanView& plan,
                    priority::Claim* claims) const {
    const xmoe::Random draws = ctx.random.fork(0x7072696f72697479u);
    index end = 0;  // rows written so far
    index begin = 0;
    for (index e = 0; e < plan.experts; ++e) {
      const index stop = plan.expert_offsets[e + 1];
      const index count = stop - begin;
      index kept = count;
      if (count > plan.capacity) {
        for (index i = 0; i < count; ++i) {
          const index a = plan.assignment[begin + i];
          const index t = plan.token[begin + i];
          claims[i] = {order_code(SelectionKey<R>{routing.score[a]}), 0, a,
                       static_cast<std::int32_t>(a - routing.begin(t))};
          if constexpr (priority::looks_at_best<Priority>) {
            claims[i].best = order_code(SelectionKey<R>{routing.score[routing.begin(t)]});
          }
          if constexpr (Priority::draws) {
            const auto block = draws.block(static_cast<std::uint64_t>(t * routing.experts + e));
            claims[i].random = (std::uint64_t{block.word[0]} << 32) | block.word[1];
          }
        }
        kept = plan.capacity;
        std::nth_element(claims, claims + kept, claims + count, Priority::before);
        std::sort(claims, claims + kept, [](const priority::Claim& a, const priority::Claim& b) {
          return a.assignment < b.assignment;
        });
        // both lists ascend: pick the kept assignments out of the stretch, tokens with them
        index next = 0;
        for (index i = begin; i < stop && next < kept; ++i) {
          if (plan.assignment[i] == claims[next].assignment) {
            plan.assignment[end + next] = plan.assignment[i];
            plan.token[end + next] = plan.token[i];
            ++next;
          }
        }
      } else if (end != begin) {
        std::copy(plan.assignment + begin, plan.assignment + stop, plan.assignment + end);
        std::copy(plan.token + begin, plan.token + stop, plan.token + end);
      }
      plan.expert_offsets[e] = end;
      end += kept;
      begin = stop;
    }
    plan.expert_offsets[plan.experts] = end;
    plan.kept = end;
  }
};

/// The published default: first choices first, then the more probable.
using Capacity = CapacityBy<priority::RankThenProbability>;
static_assert(Dispatch<Capacity>);

}  // namespace xmoe::inline XMOE_ABI::dispatch
