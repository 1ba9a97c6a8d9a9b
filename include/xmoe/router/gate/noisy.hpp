// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/draws.hpp>
#include <xmoe/router/gate/linear.hpp>

namespace xmoe::inline XMOE_ABI::gate {

/// Another gate plus noise whose size the token decides: while training
///
///   z'_te = z_te + n_te * (softplus(<x_t, v_e>) + floor),  n standard normal
///
///   in      x [T,D]
///   out     logits [T,E]; in inference those of the inner gate
///   grad    the inner gate's; dv_e += sum_t dz_te n_te sigmoid(<x_t, v_e>) x_t, and dx
///   cost    while training 2 T D E more, and a block of random numbers an entry
///   throws  value_error unless the floor is finite and not negative
///   source  arXiv 1701.06538, eq. 4; v starts at 0
template <Gate Inner>
struct Noisy {
  Inner inner{};
  float floor = 0.01f;  ///< least deviation

  template <class Traits>
  struct Weights {
    weights_of<Inner, Traits> inner;
    Linear::Weights<Traits> noise;  ///< weight [1,E,D]

    static void tensors(auto& own, auto&& visit) {
      detail::nested(own.inner, "", visit);
      detail::nested(own.noise, "noise.", visit);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {detail::make_weights<Traits>(inner, sizes), Linear{}.make_weights<Traits>(sizes)};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own.inner, random);
    own.noise.weight.zero();
  }

  void check(Sizes sizes) const {
    detail::check(inner, sizes);
    if (!is_finite(floor) || floor < 0.f) {
      detail::fail<value_error>("xmoe::gate::Noisy: floor is %g, must be 0 or more",
                                static_cast<double>(floor));
    }
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    using R = typename Traits::routing;
    inner.forward(ctx, own.inner, batch, logits);
    if (!ctx.training()) {
      return;
    }
    const Workspace::Scope scope(ctx.workspace);
    const MatrixView<R> u = take<R>(ctx, logits.rows(), logits.cols());
    Linear{}.forward(ctx, own.noise, batch, u);
    if (!ctx.measuring()) {
      ctx.backend.for_each_row(logits.rows(), 32, [&](index t) {
        for (index e = 0; e < logits.cols(); ++e) {
          const R deviation = softplus(u(t, e)) + static_cast<R>(floor);
          logits(t, e) += draw<R>(ctx.random, t * logits.cols() + e) * deviation;
        }
      });
    }
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
                MatrixView<const typename Traits::routing> dlogits, Gradients& gradients,
                MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    inner.backward(ctx, own.inner, batch, dlogits, gradients.inner, dx);
    if (!ctx.training()) {
      return;
    }
    const Workspace::Scope scope(ctx.workspace);
    const index experts = dlogits.cols();
    const MatrixView<R> u = take<R>(ctx, dlogits.rows(), experts);
    Linear{}.forward(ctx, own.noise, batch, u);
    if (!ctx.measuring()) {
      ctx.backend.for_each_row(u.rows(), 32, [&](index t) {
        for (index e = 0; e < experts; ++e) {
          u(t, e) = dlogits(t, e) * draw<R>(ctx.random, t * experts + e) * math::sigmoid(u(t, e));
        }
        std::fill(u.row_data(t) + experts, u.row_data(t) + u.stride(), R(0));
      });
    }
    Linear{}.backward(ctx, own.noise, batch, MatrixView<const R>(u), gradients.noise, dx);
  }

 private:
  template <class R, class Traits>
  static MatrixView<R> take(Context<Traits>& ctx, index tokens, index experts) {
    const index stride = Panels<R>(0, experts, 0).padded_rows();
    return {ctx.workspace.template take<R>(tokens * stride), tokens, experts, stride};
  }
  template <class R>
  static R draw(Random random, index position) {
    return draws::normal<R>(random.fork(0x6e6f697379000000u), static_cast<std::uint64_t>(position));
  }
  /// ln(1 + e^u), without overflow.
  template <class R>
  static R softplus(R u) {
    const R size = u < R(0) ? -u : u;
    return (u > R(0) ? u : R(0)) + math::log(R(1) + math::exp(-size));
  }
};
static_assert(Gate<Noisy<Linear>> && DifferentiableGate<Noisy<Linear>>);

}  // namespace xmoe::inline XMOE_ABI::gate
