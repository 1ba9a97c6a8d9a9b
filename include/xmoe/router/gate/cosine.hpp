// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/math.hpp>
#include <xmoe/router/gate/linear.hpp>

namespace xmoe::inline XMOE_ABI::gate {

/// The angle between a token and one key per expert: z_te = a <x_t, k_e> / (|x_t| |k_e|).
///
///   in      x [T,D]
///   out     logits [T,E] in [-a, a]; lengths count as at least 1e-12, a zero vector has z = 0
///   grad    with qh = x/|x|, kh = k/|k|, c = <qh, kh>:
///             dx_t += a (sum_e dz_te kh_e - qh_t sum_e dz_te c_te) / |x_t|
///             dk_e += a sum_t dz_te (qh_t - c_te kh_e) / |k_e|
///             dtheta += sum_te dz_te z_te, 0 where the scale has reached its limit
///           0 for vectors shorter than 1e-12
///   cost    2 T D E and (T + E) D for the lengths; the product once more in backward
///   source  microsoft/tutel tutel/gates/cosine_top.py (learned a = exp(min(theta, ln 100)));
///           microsoft/torchscale xmoe/routing.py (normalize_query = false)
struct Cosine {
  bool normalize_query = true;  ///< false: only the keys count as directions
  bool learn_scale = false;     ///< a = exp(min(theta, ln 100)), theta a weight; else a = scale
  float scale = 1.f;            ///< a, or where it starts: 1 / temperature
  float init_scale = 1.f;       ///< keys start at U(-1, 1) * init_scale / sqrt(D)

  template <class Traits>
  struct Weights {
    Linear::Weights<Traits> keys;            ///< weight [1,E,D]
    Panels<typename Traits::routing> theta;  ///< [1,1,1] or nothing

    static void tensors(auto& own, auto&& visit) {
      visit("keys", own.keys.weight);
      visit("theta", own.theta);
    }
  };
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    using R = typename Traits::routing;
    return {Linear{}.make_weights<Traits>(sizes), learn_scale ? Panels<R>(1, 1, 1) : Panels<R>()};
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    Linear{.init_scale = init_scale}.initialize<Traits>(own.keys, random);
    if (learn_scale) {
      own.theta.at(0, 0, 0) = static_cast<typename Traits::routing>(std::log(scale));
    }
  }

  void check(Sizes) const {
    if (!is_finite(scale) || scale <= 0.f) {
      detail::fail<value_error>("xmoe::gate::Cosine: scale is %g, must be positive",
                                static_cast<double>(scale));
    }
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    R* inverse = ctx.workspace.template take<R>(own.keys.weight.rows());
    Linear{}.forward(ctx, own.keys, batch, logits);
    if (ctx.measuring()) {
      return;
    }
    invert_keys(own.keys.weight, inverse);
    const R a = factor<R>(own);
    ctx.backend.for_each_row(logits.rows(), 32, [&](index t) {
      const R unit = a * inverse_query<R>(batch.x, t);
      for (index e = 0; e < logits.cols(); ++e) {
        logits(t, e) *= unit * inverse[e];
      }
    });
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
                MatrixView<const typename Traits::routing> dlogits, Gradients& gradients,
                MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    const Workspace::Scope scope(ctx.workspace);
    const index tokens = batch.x.rows(), dim = batch.x.cols(), experts = own.keys.weight.rows();
    R* inverse = ctx.workspace.template take<R>(experts);
    R* by_expert = ctx.workspace.template take<R>(experts);  // sum over t of dz z
    R* by_token = ctx.workspace.template take<R>(tokens);    // sum over e of dz z
    const index stride = dlogits.stride();
    const MatrixView<R> z(ctx.workspace.template take<R>(tokens * stride), tokens, experts, stride);
    Linear{}.forward(ctx, own.keys, batch, z);
    if (!ctx.measuring()) {
      invert_keys(own.keys.weight, inverse);
      const R a = factor<R>(own);
      std::fill(by_expert, by_expert + experts, R(0));
      for (index t = 0; t < tokens; ++t) {  // <x, k> to dz a / (|x| |k|), the rest beside
        const R unit = a * inverse_query<R>(batch.x, t);
        by_token[t] = R(0);
        for (index e = 0; e < experts && batch.is_valid(t); ++e) {
          const R all = unit * inverse[e];
          const R moved = dlogits(t, e) * (z(t, e) * all);
          by_token[t] += moved;
          by_expert[e] += moved;
          z(t, e) = dlogits(t, e) * all;
        }
        std::fill(z.row_data(t) + experts, z.row_data(t) + stride, R(0));
      }
    }
    Linear{}.backward(ctx, own.keys, batch, MatrixView<const R>(z), gradients.keys, dx);
    if (ctx.measuring()) {
      return;
    }
    for (index e = 0; e < experts; ++e) {
      const R back = by_expert[e] * inverse[e] * inverse[e];
      for (index d = 0; d < dim; ++d) {
        gradients.keys.weight.at(0, e, d) -= back * own.keys.weight.at(0, e, d);
      }
    }
    for (index t = 0; t < tokens && normalize_query; ++t) {
      const R length = inverse_query<R>(batch.x, t);
      const R back = by_token[t] * length * length;
      for (index d = 0; d < dim && batch.is_valid(t); ++d) {
        dx(t, d) -= back * batch.x(t, d);
      }
    }
    if (learn_scale && own.theta.at(0, 0, 0) < limit<R>) {
      for (index t = 0; t < tokens; ++t) {
        gradients.theta.at(0, 0, 0) += by_token[t];
      }
    }
  }

 private:
  template <class R>
  static constexpr R limit = R(4.605170185988092);  // ln 100

  template <class R>
  R factor(const auto& own) const {
    if (!learn_scale) {
      return static_cast<R>(scale);
    }
    const R theta = own.theta.at(0, 0, 0);
    return math::exp(theta < limit<R> ? theta : limit<R>);
  }
  /// 1 / length; 0 for what is too short to have a direction.
  template <class R>
  static R inverse_length(R squares) {
    const R length = std::sqrt(squares);
    return length < R(1e-12) ? R(0) : R(1) / length;
  }
  template <class R>
  R inverse_query(In<R> x, index t) const {
    return normalize_query ? inverse_length(math::dot(x.row_data(t), x.row_data(t), x.cols()))
                           : R(1);
  }
  template <class R>
  static void invert_keys(const Panels<R>& keys, R* inverse) {
    for (index e = 0; e < keys.rows(); ++e) {
      R squares = R(0);
      for (index d = 0; d < keys.cols(); ++d) {
        squares += keys.at(0, e, d) * keys.at(0, e, d);
      }
      inverse[e] = inverse_length(squares);
    }
  }
};
static_assert(Gate<Cosine> && DifferentiableGate<Cosine>);

}  // namespace xmoe::inline XMOE_ABI::gate
