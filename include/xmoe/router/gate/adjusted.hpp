// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/concepts/gate.hpp>

namespace xmoe::inline XMOE_ABI::gate {

/// A gate whose logits are changed before they are scored: z' = adjust(z). Nest for several.
///
///   in      what the inner gate takes
///   out     logits [T,E]; rows of padding as the inner gate left them
///   grad    through the adjustment, then the inner gate's
///   cost    one more pass over [T,E]; in backward a copy of dlogits, if it changes them
template <Gate Inner, Adjust Change>
struct Adjusted {
  Inner inner{};
  Change adjust{};

  template <class Traits>
  using Weights = weights_of<Inner, Traits>;
  template <class Traits>
  Weights<Traits> make_weights(Sizes sizes) const {
    return detail::make_weights<Traits>(inner, sizes);
  }
  template <class Traits>
  void initialize(Weights<Traits>& own, Random random) const {
    detail::initialize<Traits>(inner, own, random);
  }
  void check(Sizes sizes) const {
    detail::check(inner, sizes);
    detail::check(adjust, sizes);
  }

  template <class Traits, class Own>
  void forward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
               MatrixView<typename Traits::routing> logits) const {
    inner.forward(ctx, own, batch, logits);
    if (!ctx.measuring()) {
      if constexpr (requires { adjust.check_batch(batch); }) {
        adjust.check_batch(batch);
      }
      ctx.backend.for_each_row(logits.rows(), 32, [&](index t) {
        if (batch.is_valid(t)) {
          adjust.row(site(ctx, batch, t), logits.row(t));
        }
      });
    }
  }

  template <class Traits, class Own, class Gradients>
  void backward(Context<Traits>& ctx, const Own& own, const Batch<typename Traits::scalar>& batch,
                MatrixView<const typename Traits::routing> dlogits, Gradients& gradients,
                MatrixView<typename Traits::scalar> dx) const {
    using R = typename Traits::routing;
    if constexpr (AdjustsGradient<Change, R>) {
      const Workspace::Scope scope(ctx.workspace);
      R* copy = ctx.workspace.template take<R>(dlogits.rows() * dlogits.stride());
      const MatrixView<R> changed(copy, dlogits.rows(), dlogits.cols(), dlogits.stride());
      if (!ctx.measuring()) {
        ctx.backend.for_each_row(dlogits.rows(), 32, [&](index t) {
          for (index e = 0; e < dlogits.stride(); ++e) {
            changed.row_data(t)[e] = dlogits.row_data(t)[e];
          }
          if (batch.is_valid(t)) {
            adjust.row_backward(site(ctx, batch, t), changed.row(t));
          }
        });
      }
      inner.backward(ctx, own, batch, MatrixView<const R>(changed), gradients, dx);
    } else {
      inner.backward(ctx, own, batch, dlogits, gradients, dx);
    }
  }

 private:
  template <class Traits>
  static RowSite site(const Context<Traits>& ctx, const auto& batch, index t) {
    return {t, batch.id(t), ctx.mode, ctx.random};
  }
};

}  // namespace xmoe::inline XMOE_ABI::gate
