// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/expert.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/core/math.hpp>

/// Steps that several experts share: the way down and the gradients of both products.
namespace xmoe::inline XMOE_ABI::expert::detail {

/// Bytes of hidden activations that exist at a time: what a shared cache holds.
inline constexpr index hidden_bytes = index(16) << 20;

/// body(groups, add) for runs of the plan's rows, one after the other, such that a run's hidden
/// activations take at most `hidden_bytes`, or are 256; one run unless the plan is large. `add`:
/// not the first.
template <class Ctx, class F>
void for_each_wave(Ctx& ctx, const PlanView& plan, index row_bytes, F&& body) {
  constexpr index fewest_rows = 256;
  const index fitting = hidden_bytes / (row_bytes > 0 ? row_bytes : 1);
  const index most = fitting < fewest_rows ? fewest_rows : fitting;
  const Workspace::Scope scope(ctx.workspace);
  if (plan.kept <= most) {
    body(Groups{plan.experts, plan.expert_offsets, plan.kept, 0}, false);
    return;
  }
  index* const offsets = ctx.workspace.template take<index>(plan.experts + 1);
  if (ctx.measuring()) {
    body(Groups{plan.experts, nullptr, most, 0}, false);
    return;
  }
  for (index begin = 0; begin < plan.kept; begin += most) {
    const index end = begin + most < plan.kept ? begin + most : plan.kept;
    for (index e = 0; e <= plan.experts; ++e) {
      const index offset = plan.expert_offsets[e];
      offsets[e] = offset < begin ? begin : (offset < end ? offset : end);
    }
    body(Groups{plan.experts, offsets, end - begin, begin}, begin > 0);
  }
}

/// dy [T,D] as rows that the kernels can read to the end of a panel: itself where D fills panels,
/// else a copy with zeros behind. Not one row per assignment: the plan gathers.
template <class Ctx, class S>
Rows<S> padded_rows(Ctx& ctx, MatrixView<const S> dy, index padded, const std::int32_t* gather) {
  if (dy.cols() == padded) {
    return {dy.data(), dy.stride(), gather};
  }
  S* copy = ctx.workspace.template take<S>(dy.rows() * padded);
  if (!ctx.measuring()) {
    ctx.backend.for_each_row(dy.rows(), 64, [&](index t) {
      S* out = copy + t * padded;
      for (index d = 0; d < dy.cols(); ++d) {
        out[d] = dy(t, d);
      }
      for (index d = dy.cols(); d < padded; ++d) {
        out[d] = S(0);
      }
    });
  }
  return {copy, padded, gather};
}

/// body(expert, row) for every row of a plan, in parallel over experts' stretches of 16 rows.
template <class Ctx, class F>
void for_each_plan_row(Ctx& ctx, const PlanView& plan, F&& body) {
  constexpr index block = 16;
  ctx.backend.parallel((plan.kept + block - 1) / block, [&](index item, index) {
    const index first = item * block;
    const index last = first + block < plan.kept ? first + block : plan.kept;
    index low = 0;  // the expert of row `first`: the last one that starts at or before it
    index high = plan.experts;
    while (high - low > 1) {
      const index middle = (low + high) / 2;
      (plan.expert_offsets[middle] <= first ? low : high) = middle;
    }
    for (index m = first; m < last; ++m) {
      while (plan.expert_offsets[low + 1] <= m) {
        ++low;
      }
      body(low, m);
    }
  });
}

/// Mean over the experts with rows of the share of their hidden units for which active(row, unit).
template <class F>
double active_share(const PlanView& plan, index hidden_dim, F&& active) {
  double sum = 0.0, experts = 0.0;
  for (index e = 0; e < plan.experts; ++e) {
    double count = 0.0;
    for (index m = plan.expert_offsets[e]; m < plan.expert_offsets[e + 1]; ++m) {
      for (index j = 0; j < hidden_dim; ++j) {
        count += active(m, j) ? 1.0 : 0.0;
      }
    }
    if (plan.load(e) > 0) {
      sum += count / (static_cast<double>(plan.load(e)) * static_cast<double>(hidden_dim));
      experts += 1.0;
    }
  }
  return experts > 0.0 ? sum / experts : 0.0;
}

/// <dy, f(x)> of one row, from the gradient that already passed the second matrix:
/// <W2^T dy, h> + <dy, b2>.
template <class S>
S weight_gradient(const S* hidden, const S* dhidden, index hidden_dim, const S* dy,
                  const Panels<S>& down_bias, index expert) {
  const S through = math::dot(hidden, dhidden, hidden_dim);
  return down_bias.count() == 0
             ? through
             : through + math::dot(dy, down_bias.matrix(expert), down_bias.rows());
}

/// dW2 += dy^T (weight * hidden), db2 += weight * dy.
template <class W, class Ctx, class S, class R>
void down_gradients(Ctx& ctx, Groups groups, Rows<S> dy, Rows<S> weighted_hidden,
                    VectorView<const R> weight, const std::uint8_t* touched, bool biased,
                    Panels<S>& down, Panels<S>& bias) {
  ctx.backend.template grouped_weight_gradient<W>(ctx.workspace, groups, dy, weighted_hidden, down,
                                                  touched);
  if (biased) {
    static_assert(std::same_as<S, R>);
    ctx.backend.template grouped_weight_gradient<S>(
        ctx.workspace, groups, dy, Rows<S>{weight.data(), 1, nullptr}, bias, touched);
  }
}

/// dW1 += dbefore^T x, db1 += dbefore, drows = dbefore W1.
template <class Ctx, class W, class S>
void up_gradients(Ctx& ctx, Groups groups, Rows<S> dbefore, Rows<S> x, const Panels<W>& up,
                  const std::uint8_t* touched, bool biased, Panels<S>& dup, Panels<S>& dbias,
                  MatrixView<S> drows) {
  static constexpr S one = S(1);
  ctx.backend.template grouped_weight_gradient<W>(ctx.workspace, groups, dbefore, x, dup, touched);
  if (biased) {
    ctx.backend.template grouped_weight_gradient<S>(ctx.workspace, groups, dbefore,
                                                    Rows<S>{&one, 0, nullptr}, dbias, touched);
  }
  ctx.backend.grouped_input_gradient(ctx.workspace, groups, dbefore, up,
                                     [&](index, index m, index first, index count, const S* sums) {
                                       S* out = drows.row_data(m) + first;
                                       for (index j = 0; j < count; ++j) {
                                         out[j] = sums[j];
                                       }
                                     });
}

}  // namespace xmoe::inline XMOE_ABI::expert::detail
