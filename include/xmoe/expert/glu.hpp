// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/expert.hpp>
#include <xmoe/core/grouped.hpp>
#include <xmoe/expert/activation.hpp>
#include <xmoe/expert/init.hpp>
#include <xmoe/expert/steps.hpp>

namespace xmoe::inline XMOE_ABI::expert {

/// Row order of the joint gate-and-up matrix [2H,D], as files have it. A tag: never guessed.
namespace layout {
struct Concatenated {
  static constexpr RowOrder order = RowOrder::gate_up_concatenated;
};
struct Interleaved {
  static constexpr RowOrder order = RowOrder::gate_up_interleaved;
};
}  // namespace layout

/// Gated experts: f_e(x) = W2_e (act(Wg_e x + bg_e) * (Wu_e x + bu_e)) + b2_e. SwiGLU with Silu.
///
///   Layout  how the rows of gate_up [2H,D] are numbered from outside; memory is the same for both
///   in      x [T,D] through the plan's tokens
///   out     y [T,D] = sum of weight * f_e(x), by expert
///   grad    parameters +=, dweight = <dy, f>, drows; experts without rows are not touched
///   cost    6 D H a row; scratch [M,H], at most 16 MiB at a time forward; the tape keeps both
///   pre-activations [M,2H] source  arXiv 2002.05202
template <class Act = activation::Silu, class Layout = layout::Concatenated>
struct Glu {
  bool bias = false;  ///< all three
  Init init{};

  static constexpr bool overwrites_untouched = true;  ///< backward: see RowGradient::touched

  template <class Traits>
  struct Weights {
    using S = typename Traits::scalar;
    using W = typename Traits::weight;
    Panels<W> gate_up;       ///< [E,2H,D]
    Panels<S> gate_up_bias;  ///< [E,2H,1] or nothing
    Panels<W> down;          ///< [E,D,H]
    Panels<S> down_bias;     ///< [E,D,1] or nothing

    static void tensors(auto& own, auto&& visit) {
      visit("gate_up.weight", own.gate_up);
      visit("gate_up.bias", own.gate_up_bias);
      visit("down.weight", own.down);
      visit("down.bias", own.down_bias);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    using W = Panels<typename Traits::weight>;
    using B = Panels<typename Traits::scalar>;
    const index count = sizes.experts;
    return {W(count, 2 * sizes.expert_dim, sizes.model_dim, Layout::order),
            bias ? B(count, 2 * sizes.expert_dim, 1, Layout::order) : B(),
            W(count, sizes.model_dim, sizes.expert_dim), bias ? B(count, sizes.model_dim, 1) : B()};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    const index dim = own.gate_up.cols();
    const index hidden = own.down.cols();
    init.fill(own.gate_up, init.deviation_in, dim, false, random.fork(1));
    init.fill(own.gate_up_bias, 0.f, dim, true, random.fork(2));
    init.fill(own.down, init.deviation_out, hidden, false, random.fork(3));
    init.fill(own.down_bias, 0.f, hidden, true, random.fork(4));
  }
  index multiply_adds(Sizes sizes) const { return 3 * sizes.model_dim * sizes.expert_dim; }

  template <class Traits>
  struct Cache {
    /// [M,2H padded] Wg x + bg and Wu x + bu, in alternating panels like the rows of gate_up
    typename Traits::scalar* before = nullptr;
  };

  /// Share of hidden activations act(gate) * up > 0 over the kept rows: per expert, then the mean
  /// over the experts that have rows.
  template <class Traits, class Own>
  double active_share(const Own& own, const PlanView& plan, const Cache<Traits>& cache) const {
    constexpr index width = Panels<typename Traits::scalar>::width;
    const index joint = own.gate_up.padded_rows();
    return detail::active_share(plan, own.down.cols(), [&](index m, index j) {
      const auto* pre = cache.before + m * joint + 2 * (j / width) * width + j % width;
      return Act::value(pre[0]) * pre[width] > 0;
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
    const index joint = own.gate_up.padded_rows();
    S* before = nullptr;
    if (cache != nullptr) {
      before = cache->before = ctx.keep.template take<S>(plan.kept * joint);
    }
    const bool biased = own.gate_up_bias.count() > 0;
    const index row_bytes =
        joint / 2 * static_cast<index>(sizeof(std::conditional_t<std::same_as<W, half>, S, W>));
    detail::for_each_wave(ctx, plan, row_bytes, [&](const Groups& groups, bool add) {
      const Workspace::Scope scope(ctx.workspace);
      const auto hidden = ctx.backend.template packed_rows<W>(ctx.workspace, groups.rows,
                                                              own.down.cols(), groups.first);
      ctx.backend.grouped_forward_pair(
          ctx.workspace, groups, Rows<S>{x.data(), x.stride(), plan.token}, own.gate_up,
          [&](index e, auto m, index first, const S* gate_sums, const S* up_sums) {
            S pair[static_cast<std::size_t>(2 * width)];
            const S* b = biased ? own.gate_up_bias.matrix(e) + 2 * first : nullptr;
            for (index j = 0; j < width; ++j) {
              pair[j] = b == nullptr ? gate_sums[j] : gate_sums[j] + b[j];
              pair[width + j] = b == nullptr ? up_sums[j] : up_sums[j] + b[width + j];
            }
            if (before != nullptr) {
              S* const kept = before + m * joint + 2 * first;
              for (index j = 0; j < 2 * width; ++j) {
                kept[j] = pair[j];
              }
            }
            for (index j = 0; j < width; ++j) {
              pair[j] = Act::value(pair[j]) * pair[width + j];
            }
            hidden.store(m, first, pair);
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
    constexpr index width = Panels<S>::width;
    const Groups groups{plan.experts, plan.expert_offsets, plan.kept};
    const index joint = own.gate_up.padded_rows();
    const index stride = joint / 2;
    const index hidden_dim = own.down.cols();
    const Workspace::Scope scope(ctx.workspace);
    S* hidden = ctx.workspace.template take<S>(plan.kept * stride);
    S* dhidden = ctx.workspace.template take<S>(plan.kept * stride);
    S* dbefore = ctx.workspace.template take<S>(plan.kept * joint);
    const Rows<S> dy = detail::padded_rows(ctx, upstream.dy, own.down.padded_rows(), plan.token);

    ctx.backend.grouped_input_gradient(
        ctx.workspace, groups, dy, own.down,
        [&](index, index m, index first, index count, const S* sums) {
          for (index j = 0; j < count; ++j) {
            dhidden[m * stride + first + j] = sums[j];
          }
        });
    if (!ctx.measuring()) {
      detail::for_each_plan_row(ctx, plan, [&](index e, index m) {
        S* h = hidden + m * stride;
        S* dh = dhidden + m * stride;
        for (index j = hidden_dim; j < stride; ++j) {
          dh[j] = S(0);  // padding: gradients of both pre-activations become 0
        }
        for (index first = 0; first < stride; first += width) {
          const S* pre = cache.before + m * joint + 2 * first;
          for (index j = 0; j < width; ++j) {
            h[first + j] = Act::value(pre[j]) * pre[width + j];
          }
        }
        dweight[m] = detail::weight_gradient(h, dh, hidden_dim, dy.row(m), own.down_bias, e);
        const S w = static_cast<S>(upstream.weight[m]);
        for (index first = 0; first < stride; first += width) {
          const S* pre = cache.before + m * joint + 2 * first;
          S* d = dbefore + m * joint + 2 * first;
          for (index j = 0; j < width; ++j) {
            const S g = w * dh[first + j];
            d[j] = g * pre[width + j] * Act::slope(pre[j]);
            d[width + j] = g * Act::value(pre[j]);
            h[first + j] *= w;
          }
        }
      });
    }
    detail::down_gradients<typename Traits::weight>(
        ctx, groups, dy, Rows<S>{hidden, stride, nullptr}, upstream.weight, upstream.touched,
        own.down_bias.count() > 0, gradients.down, gradients.down_bias);
    detail::up_gradients(ctx, groups, Rows<S>{dbefore, joint, nullptr},
                         Rows<S>{x.data(), x.stride(), plan.token}, own.gate_up, upstream.touched,
                         own.gate_up_bias.count() > 0, gradients.gate_up, gradients.gate_up_bias,
                         drows);
  }
};

}  // namespace xmoe::inline XMOE_ABI::expert
