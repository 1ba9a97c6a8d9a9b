// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/gate/linear.hpp>

namespace xmoe::inline XMOE_ABI::gate {

/// q = u: gate::Projected without an activation.
struct Straight {
  template <class S>
  static S value(S u) {
    return u;
  }
  template <class S>
  static S slope(S) {
    return S(1);
  }
};

/// Another gate on q = act(W x + b) instead of x: a narrow space for cosines, or, with an
/// activation (those of experts, activation::Gelu ...) and gate::Linear behind it, a small network.
///
///   in      x [T,D]
///   out     logits [T,E] of the inner gate on q [T,dim]
///   grad    the inner gate's, then dW += (dq act'(u))^T x, dx += (dq act'(u)) W
///   cost    2 T D dim and the inner gate's on width dim; twice W x in backward
///   throws  value_error unless dim >= 1
///   source  arXiv 2204.09179 (16 wide)
template <Gate Inner, class Activation = Straight>
struct Projected {
  Inner inner{};
  index dim = 16;
  bool bias = false;

  template <class Traits>
  struct Weights {
    Linear::Weights<Traits> projection;  ///< weight [1,dim,D], bias [1,dim,1] or nothing
    weights_of<Inner, Traits> inner;

    static void tensors(auto& own, auto&& visit) {
      detail::nested(own.projection, "projection.", visit);
      detail::nested(own.inner, "", visit);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return {map().template make_weights<Traits>({sizes.model_dim, dim, sizes.expert_dim}),
            detail::make_weights<Traits>(inner, {dim, sizes.experts, sizes.expert_dim})};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    map().template initialize<Traits>(own.projection, random.fork(1));
    detail::initialize<Traits>(inner, own.inner, random.fork(2));
  }

  void check(Sizes sizes) const {
    if (dim < 1) {
      detail::fail<value_error>("xmoe::gate::Projected: dim is %td, must be 1 or more", dim);
    }
    detail::check(inner, {dim, sizes.experts, sizes.expert_dim});
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    const MatrixView<R> q = take<R>(ctx, batch.x.rows());
    map().forward(ctx, own.projection, batch, q);
    activate(ctx, q, q);
    inner.forward(ctx, own.inner, Batch<R>(q, batch.valid, batch.ids), logits);
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
                MatrixView<const typename Traits::routing> dlogits, Gradients& gradients,
                MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    const MatrixView<R> u = take<R>(ctx, batch.x.rows());
    const MatrixView<R> q = take<R>(ctx, batch.x.rows());
    const MatrixView<R> dq = take<R>(ctx, batch.x.rows());
    map().forward(ctx, own.projection, batch, u);
    activate(ctx, u, q);
    if (!ctx.measuring()) {
      std::fill(dq.data(), dq.data() + dq.rows() * dq.stride(), R(0));
    }
    inner.backward(ctx, own.inner, Batch<R>(q, batch.valid, batch.ids), dlogits, gradients.inner,
                   dq);
    if (!ctx.measuring()) {
      ctx.backend.for_each_row(dq.rows(), 32, [&](index t) {
        for (index d = 0; d < dim; ++d) {
          dq(t, d) *= Activation::slope(u(t, d));
        }
      });
    }
    map().backward(ctx, own.projection, batch, MatrixView<const R>(dq), gradients.projection, dx);
  }

 private:
  Linear map() const { return {.bias = bias}; }
  /// [T,dim], rows padded to whole panels as gradients of products are.
  template <class R, class Traits>
  MatrixView<R> take(Context<Traits>& ctx, index tokens) const {
    const index stride = Panels<R>(0, dim, 0).padded_rows();
    return {ctx.workspace.template take<R>(tokens * stride), tokens, dim, stride};
  }
  template <class R, class Traits>
  void activate(Context<Traits>& ctx, MatrixView<R> from, MatrixView<R> to) const {
    if (!ctx.measuring()) {
      ctx.backend.for_each_row(from.rows(), 32, [&](index t) {
        for (index d = 0; d < dim; ++d) {
          to(t, d) = Activation::value(from(t, d));
        }
      });
    }
  }
};
static_assert(Gate<Projected<Linear>> && DifferentiableGate<Projected<Linear>>);

}  // namespace xmoe::inline XMOE_ABI::gate
