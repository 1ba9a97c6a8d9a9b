// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/expert.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/expert/activation.hpp>
#include <xmoe/expert/init.hpp>
#include <xmoe/expert/steps.hpp>

namespace xmoe::inline XMOE_ABI::expert {

/// Two-layer experts: f_e(x) = W2_e act(W1_e x + b1_e) + b2_e.
///
///   in      x [T,D] through the plan's tokens
///   out     y [T,D] = sum of weight * f_e(x), by expert; the weight multiplies b2 as well
///   grad    parameters +=, dweight = <dy, f>, drows; experts without rows are not touched
///   cost    4 D H a row; scratch [M,H], at most 16 MiB at a time forward; the tape keeps the
///   pre-activations [M,H] source  arXiv 2403.18926; ysngki/XMoE (both biases, no gate)
template <class Act = activation::Gelu>
struct Ffn {
  bool bias = true;  ///< both layers
  Init init{};

  static constexpr bool overwrites_untouched = true;  ///< backward: see RowGradient::touched

  template <class Traits>
  struct Weights {
    using S = typename Traits::scalar;
    using W = typename Traits::weight;
    Panels<W> up;         ///< [E,H,D]
    Panels<S> up_bias;    ///< [E,H,1] or nothing
    Panels<W> down;       ///< [E,D,H]
    Panels<S> down_bias;  ///< [E,D,1] or nothing

    static void tensors(auto& own, auto&& visit) {
      visit("up.weight", own.up);
      visit("up.bias", own.up_bias);
      visit("down.weight", own.down);
      visit("down.bias", own.down_bias);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    using W = Panels<typename Traits::weight>;
    using B = Panels<typename Traits::scalar>;
    const index count = sizes.experts;
    return {W(count, sizes.expert_dim, sizes.model_dim), bias ? B(count, sizes.expert_dim, 1) : B(),
            W(count, sizes.model_dim, sizes.expert_dim), bias ? B(count, sizes.model_dim, 1) : B()};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    const index dim = own.up.cols();
    const index hidden = own.down.cols();
    init.fill(own.up, init.deviation_in, dim, false, random.fork(1));
    init.fill(own.up_bias, 0.f, dim, true, random.fork(2));
    init.fill(own.down, init.deviation_out, hidden, false, random.fork(3));
    init.fill(own.down_bias, 0.f, hidden, true, random.fork(4));
  }
  index multiply_adds(Sizes sizes) const { return 2 * sizes.model_dim * sizes.expert_dim; }

  template <class Traits>
  struct Cache {
    typename Traits::scalar* before = nullptr;  ///< [M,H padded] W1 x + b1
  };

  /// Share of hidden activations > 0 over the kept rows: per expert, then the mean over the experts
  /// that have rows.
  template <class Traits, class Own>
  double active_share(const Own& own, const PlanView& plan, const Cache<Traits>& cache) const {
    const index stride = own.up.padded_rows();
    return detail::active_share(plan, own.down.cols(), [&](index m, index j) {
      return Act::value(cache.before[m * stride + j]) > 0;
    });
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const PlanView& plan,
               MatrixView<const typename Traits::scalar> x,
               const RowSum<typename Traits::scalar, typename Traits::routing>& y,
               Cache<Traits>* cache) const {
    using S = typename Traits::scalar;
    using W = typename Traits::weight;
    constexpr index width = Panels<W>::width;
    const index stride = own.up.padded_rows();
    S* before = nullptr;
    if (cache != nullptr) {
      before = cache->before = ctx.keep.template take<S>(plan.kept * stride);
    }
    const bool biased = own.up_bias.count() > 0;
    const index row_bytes =
        stride * static_cast<index>(sizeof(std::conditional_t<std::same_as<W, half>, S, W>));
    detail::for_each_wave(ctx, plan, row_bytes, [&](const Groups& groups, bool add) {
      const Workspace::Scope scope(ctx.workspace);
      const auto hidden = ctx.backend.template packed_rows<W>(ctx.workspace, groups.rows,
                                                              own.down.cols(), groups.first);
      ctx.backend.grouped_forward(ctx.workspace, groups, Rows<S>{x.data(), x.stride(), plan.token},
                                  own.up, [&](index e, auto m, index first, const S* sums) {
                                    S pre[static_cast<std::size_t>(width)];
                                    const S* b = biased ? own.up_bias.matrix(e) + first : nullptr;
                                    for (index j = 0; j < width; ++j) {
                                      pre[j] = b == nullptr ? sums[j] : sums[j] + b[j];
                                    }
                                    if (before != nullptr) {
                                      S* const kept = before + m * stride + first;
                                      for (index j = 0; j < width; ++j) {
                                        kept[j] = pre[j];
                                      }
                                    }
                                    for (index j = 0; j < width; ++j) {
                                      pre[j] = Act::value(pre[j]);
                                    }
                                    hidden.store(m, first, pre);
                                  });
      ctx.backend.grouped_combine(ctx.workspace, groups, hidden, own.down, own.down_bias, add, y);
    });
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const PlanView& plan,
                MatrixView<const typename Traits::scalar> x, const Cache<Traits>& cache,
                const RowGradient<Traits>& upstream, Gradients& gradients,
                VectorView<typename Traits::routing> dweight,
                MatrixView<typename Traits::scalar> drows) const {
    using S = typename Traits::scalar;
    const Groups groups{plan.experts, plan.expert_offsets, plan.kept};
    const index stride = own.up.padded_rows();
    const index hidden_dim = own.down.cols();
    const Workspace::Scope scope(ctx.workspace);
    S* hidden = ctx.workspace.template take<S>(plan.kept * stride);
    S* dbefore = ctx.workspace.template take<S>(plan.kept * stride);
    const Rows<S> dy = detail::padded_rows(ctx, upstream.dy, own.down.padded_rows(), plan.token);

    // gradient of act(...) before the weight is applied, written where dbefore will stand
    ctx.backend.grouped_input_gradient(
        ctx.workspace, groups, dy, own.down,
        [&](index, index m, index first, index count, const S* sums) {
          for (index j = 0; j < count; ++j) {
            dbefore[m * stride + first + j] = sums[j];
          }
        });
    if (!ctx.measuring()) {
      detail::for_each_plan_row(ctx, plan, [&](index e, index m) {
        const S* pre = cache.before + m * stride;
        S* h = hidden + m * stride;
        S* d = dbefore + m * stride;
        for (index j = 0; j < hidden_dim; ++j) {
          h[j] = Act::value(pre[j]);
        }
        dweight[m] = detail::weight_gradient(h, d, hidden_dim, dy.row(m), own.down_bias, e);
        const S w = static_cast<S>(upstream.weight[m]);
        for (index j = 0; j < hidden_dim; ++j) {
          d[j] = w * d[j] * Act::slope(pre[j]);
          h[j] = w * h[j];
        }
        for (index j = hidden_dim; j < stride; ++j) {
          d[j] = S(0);
        }
      });
    }
    detail::down_gradients<typename Traits::weight>(
        ctx, groups, dy, Rows<S>{hidden, stride, nullptr}, upstream.weight, upstream.touched,
        own.down_bias.count() > 0, gradients.down, gradients.down_bias);
    detail::up_gradients(ctx, groups, Rows<S>{dbefore, stride, nullptr},
                         Rows<S>{x.data(), x.stride(), plan.token}, own.up, upstream.touched,
                         own.up_bias.count() > 0, gradients.up, gradients.up_bias, drows);
  }
};

}  // namespace xmoe::inline XMOE_ABI::expert
