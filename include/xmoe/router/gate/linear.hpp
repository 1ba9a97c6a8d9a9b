// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/gate.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/grouped.hpp>

namespace xmoe::inline XMOE_ABI::gate {

/// z = x W^T + b, the inner product of a token with one key per expert.
///
///   in      x [T,D]
///   out     logits [T,E]
///   grad    dW += dz^T x ; db += sum of dz ; dx += dz W (times the jitter)
///   cost    2 T D E, as one grouped product; with jitter a copy of x [T,D]
///   throws  value_error if jitter is not in [0, 1)
///   source  arXiv 2101.03961 (weights, jitter), ysngki/XMoE mlp_gating.py (start)
struct Linear {
  bool bias = false;
  float jitter = 0.f;      ///< training: x times U(1 - jitter, 1 + jitter), element by element
  float init_scale = 1.f;  ///< weights start at U(-1, 1) * init_scale / sqrt(D), the bias at 0

  template <class Traits>
  struct Weights {
    Panels<typename Traits::routing> weight;  ///< [1,E,D]
    Panels<typename Traits::routing> bias;    ///< [1,E,1] or nothing

    static void tensors(auto& own, auto&& visit) {
      visit("weight", own.weight);
      visit("bias", own.bias);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    using R = typename Traits::routing;
    return {Panels<R>(1, sizes.experts, sizes.model_dim),
            bias ? Panels<R>(1, sizes.experts, 1) : Panels<R>()};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    using R = typename Traits::routing;
    const index cols = own.weight.cols();
    const R bound = static_cast<R>(init_scale) / std::sqrt(static_cast<R>(cols > 0 ? cols : 1));
    for (index e = 0; e < own.weight.rows(); ++e) {
      for (index d = 0; d < cols; ++d) {
        const auto position = static_cast<std::uint64_t>(e * cols + d);
        own.weight.at(0, e, d) = bound * (R(2) * static_cast<R>(random.uniform(position)) - R(1));
      }
    }
    own.bias.zero();
  }

  void check(Sizes) const {
    if (is_nan(jitter) || jitter < 0.f || jitter >= 1.f) {
      detail::fail<value_error>("xmoe::gate::Linear: jitter is %g, must be in [0, 1)",
                                static_cast<double>(jitter));
    }
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    const auto x = input(ctx, batch.x);
    const index span[2] = {0, x.rows()};
    const R* b = own.bias.count() > 0 ? own.bias.matrix(0) : nullptr;
    const index experts = own.weight.rows();
    ctx.backend.grouped_forward(
        ctx.workspace, Groups{1, ctx.measuring() ? nullptr : span, x.rows()},
        Rows<R>{x.data(), x.stride(), nullptr}, own.weight,
        [&](index, index t, index first, const R* sums) {
          const index count =
              experts - first < Panels<R>::width ? experts - first : Panels<R>::width;
          R* out = logits.row_data(t) + first;
          for (index j = 0; j < count; ++j) {
            out[j] = b == nullptr ? sums[j] : sums[j] + b[first + j];
          }
        });
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
                MatrixView<const typename Traits::routing> dlogits, Gradients& gradients,
                MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    const auto x = input(ctx, batch.x);
    // padding is left out, not multiplied by 0: it may hold anything
    auto* real = ctx.workspace.template take<std::int32_t>(x.rows());
    index count_real = 0;
    for (index t = 0; t < x.rows() && !ctx.measuring(); ++t) {
      if (batch.is_valid(t)) {
        real[count_real++] = static_cast<std::int32_t>(t);
      }
    }
    const index span[2] = {0, count_real};
    const Groups tokens{1, ctx.measuring() ? nullptr : span,
                        ctx.measuring() ? x.rows() : count_real};
    const Rows<R> dz{dlogits.data(), dlogits.stride(), real};
    ctx.backend.template grouped_weight_gradient<R>(
        ctx.workspace, tokens, dz, Rows<R>{x.data(), x.stride(), real}, gradients.weight);
    if (own.bias.count() > 0) {
      static constexpr R one = R(1);
      ctx.backend.template grouped_weight_gradient<R>(ctx.workspace, tokens, dz,
                                                      Rows<R>{&one, 0, nullptr}, gradients.bias);
    }
    const index dim = x.cols();
    const Random noise = ctx.random.fork(jitter_stream);
    const R spread = active(ctx) ? static_cast<R>(jitter) : R(0);
    ctx.backend.grouped_input_gradient(
        ctx.workspace, tokens, dz, own.weight,
        [&](index, index row, index first, index count, const R* sums) {
          const index t = real[row];
          auto* out = dx.row_data(t) + first;
          for (index j = 0; j < count; ++j) {
            const R factor = spread == R(0) ? R(1) : draw(noise, spread, t * dim + first + j);
            out[j] += sums[j] * factor;
          }
        });
  }

 private:
  static constexpr std::uint64_t jitter_stream = 0x6a69747465720000u;

  template <class Traits>
  bool active(const Context<Traits>& ctx) const {
    return ctx.training() && jitter > 0.f;
  }
  template <class R>
  static R draw(Random noise, R spread, index position) {
    const R u = static_cast<R>(noise.uniform(static_cast<std::uint64_t>(position)));
    return R(1) + spread * (R(2) * u - R(1));
  }
  /// x, or x with the jitter of this step.
  template <class Traits>
  In<typename Traits::routing> input(Context<Traits>& ctx, In<typename Traits::scalar> x) const {
    using R = typename Traits::routing;
    static_assert(std::same_as<R, typename Traits::scalar>,
                  "xmoe::gate::Linear: activations narrower than the routing scalar are not "
                  "supported on this backend yet");
    if (!active(ctx)) {
      return x;
    }
    R* copy = ctx.workspace.template take<R>(x.rows() * x.cols());
    const Out<R> jittered(copy, x.rows(), x.cols());
    if (!ctx.measuring()) {
      const Random noise = ctx.random.fork(jitter_stream);
      ctx.backend.for_each_row(x.rows(), 16, [&](index t) {
        for (index d = 0; d < x.cols(); ++d) {
          jittered(t, d) = x(t, d) * draw(noise, static_cast<R>(jitter), t * x.cols() + d);
        }
      });
    }
    return jittered;
  }
};
static_assert(Gate<Linear> && DifferentiableGate<Linear>);

}  // namespace xmoe::inline XMOE_ABI::gate
