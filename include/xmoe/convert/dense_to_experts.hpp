// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/expert/ffn.hpp>
#include <xmoe/moe_layer.hpp>

namespace xmoe::inline XMOE_ABI::convert {

/// A dense FFN y = W2 act(W1 x + b1) + b2 as it lies in most checkpoints.
template <class S>
struct DenseFfn {
  MatrixView<const S> w1;  ///< [H0,D]
  VectorView<const S> b1;  ///< [H0] or empty
  MatrixView<const S> w2;  ///< [D,H0]
  VectorView<const S> b2;  ///< [D] or empty
};

/// Cuts a dense FFN by hidden units into the layer's experts: expert e gets units e H .. e H + H-1.
///
/// Every part gets b2 / E, so that all parts together add it once. With unit weights and every part
/// chosen the layer then equals the dense FFN up to rounding; with router weights it does not.
///
///   in      dense: H0 = E * H
///   out     the layer's expert weights; its router is left as it is
///   throws  shape_error if sizes do not match, or a bias is given and the layer has none
template <class Router, class Act, class Dispatch, class Traits>
void dense_to_experts(const DenseFfn<typename Traits::scalar>& dense,
                      MoeLayer<Router, expert::Ffn<Act>, Dispatch, Traits>& layer) {
  using S = typename Traits::scalar;
  const Sizes& sizes = layer.sizes();
  const index hidden = sizes.experts * sizes.expert_dim;
  const auto fits = [](VectorView<const S> b, index n) { return b.size() == 0 || b.size() == n; };
  if (dense.w1.rows() != hidden || dense.w1.cols() != sizes.model_dim ||
      dense.w2.rows() != sizes.model_dim || dense.w2.cols() != hidden || !fits(dense.b1, hidden) ||
      !fits(dense.b2, sizes.model_dim)) {
    detail::fail<shape_error>(
        "xmoe::convert::dense_to_experts: W1 is %td x %td, W2 %td x %td, b1 %td, b2 %td; the layer "
        "has %td experts of %td for model_dim %td",
        dense.w1.rows(), dense.w1.cols(), dense.w2.rows(), dense.w2.cols(), dense.b1.size(),
        dense.b2.size(), sizes.experts, sizes.expert_dim, sizes.model_dim);
  }
  Panels<S>*up = nullptr, *up_bias = nullptr, *down = nullptr, *down_bias = nullptr;
  for (const Parameter& p : layer.parameters()) {
    Panels<S>** const slot = p.name == "expert.up.weight"     ? &up
                             : p.name == "expert.up.bias"     ? &up_bias
                             : p.name == "expert.down.weight" ? &down
                             : p.name == "expert.down.bias"   ? &down_bias
                                                              : nullptr;
    if (slot != nullptr) {
      *slot = &p.template as<S>();
    }
  }
  if ((dense.b1.size() > 0 && up_bias == nullptr) ||
      (dense.b2.size() > 0 && down_bias == nullptr)) {
    detail::fail<shape_error>(
        "xmoe::convert::dense_to_experts: the dense FFN has biases, the layer has none "
        "(expert.bias = true)");
  }
  const S parts = static_cast<S>(sizes.experts);
  for (index e = 0; e < sizes.experts; ++e) {
    for (index h = 0; h < sizes.expert_dim; ++h) {
      const index unit = e * sizes.expert_dim + h;
      for (index d = 0; d < sizes.model_dim; ++d) {
        up->at(e, h, d) = dense.w1(unit, d);
        down->at(e, d, h) = dense.w2(d, unit);
      }
      if (up_bias != nullptr) {
        up_bias->at(e, h) = dense.b1.size() > 0 ? dense.b1[unit] : S(0);
      }
    }
    for (index d = 0; d < sizes.model_dim && down_bias != nullptr; ++d) {
      down_bias->at(e, d) = dense.b2.size() > 0 ? dense.b2[d] / parts : S(0);
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::convert
