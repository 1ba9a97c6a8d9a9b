// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/expert.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/core/math.hpp>

/// Steps that several experts share: the way down and the gradients of both products.
namespace xmoe::inline XMOE_ABI::expert::detail {

/// rows [M,D] = hidden W^T + b.
template <class Ctx, class S>
void project_down(Ctx& ctx, Groups groups, Rows<S> hidden, const Panels<S>& down,
                  const Panels<S>& bias, MatrixView<S> rows) {
  constexpr index width = Panels<S>::width;
  const index dim = down.rows();
  ctx.backend.grouped_forward(ctx.workspace, groups, hidden, down,
                              [&](index e, index m, index first, const S* sums) {
                                const index count = dim - first < width ? dim - first : width;
                                const S* b = bias.count() > 0 ? bias.matrix(e) + first : nullptr;
                                S* out = rows.row_data(m) + first;
                                for (index j = 0; j < count; ++j) {
                                  out[j] = b == nullptr ? sums[j] : sums[j] + b[j];
                                }
                              });
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
template <class Ctx, class S, class R>
void down_gradients(Ctx& ctx, Groups groups, Rows<S> dy, Rows<S> weighted_hidden,
                    VectorView<const R> weight, Panels<S>& down, Panels<S>& bias) {
  ctx.backend.grouped_weight_gradient(ctx.workspace, groups, dy, weighted_hidden, down);
  if (bias.count() > 0) {
    static_assert(std::same_as<S, R>);
    ctx.backend.grouped_weight_gradient(ctx.workspace, groups, dy,
                                        Rows<S>{weight.data(), 1, nullptr}, bias);
  }
}

/// dW1 += dbefore^T x, db1 += dbefore, drows = dbefore W1.
template <class Ctx, class S>
void up_gradients(Ctx& ctx, Groups groups, Rows<S> dbefore, Rows<S> x, const Panels<S>& up,
                  Panels<S>& dup, Panels<S>& dbias, MatrixView<S> drows) {
  static constexpr S one = S(1);
  ctx.backend.grouped_weight_gradient(ctx.workspace, groups, dbefore, x, dup);
  if (dbias.count() > 0) {
    ctx.backend.grouped_weight_gradient(ctx.workspace, groups, dbefore, Rows<S>{&one, 0, nullptr},
                                        dbias);
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
