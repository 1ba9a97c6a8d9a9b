// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/bits.hpp>
#include <xmoe/core/panels.hpp>

#include <span>

namespace xmoe::inline XMOE_ABI::control {

/// Balances loads without a loss: after every optimizer step
///
///   b_e += rate * sign(mean load - load_e)
///
/// for the bias of select::Biased ("router.select.bias" of a layer's parameters).
///
///   in      load [E]: claims of the whole batch before capacity, without padding
///           (Statistics::claims; add them up over micro batches)
///   ties    an expert at the mean keeps its bias; so does E = 1
///   cost    O(E)
///   throws  shape_error if the sizes differ, value_error unless the rate is finite and >= 0
///   source  arXiv 2408.15664; arXiv 2412.19437 (rate 1e-3)
struct LoadBias {
  float rate = 1e-3f;

  template <class R>
  void update(Panels<R>& bias, std::span<const index> load) const {
    if (static_cast<index>(load.size()) != bias.rows() || bias.cols() != 1) {
      detail::fail<shape_error>(
          "xmoe::control::LoadBias: load has %td numbers, the bias is %td x %td",
          static_cast<index>(load.size()), bias.rows(), bias.cols());
    }
    if (!is_finite(rate) || rate < 0.f) {
      detail::fail<value_error>("xmoe::control::LoadBias: rate is %g, must be 0 or more",
                                static_cast<double>(rate));
    }
    index total = 0;
    for (const index n : load) {
      total += n;
    }
    for (index e = 0; e < bias.rows(); ++e) {
      const index scaled = load[static_cast<std::size_t>(e)] * bias.rows();  // exact comparison
      const R step = static_cast<R>(rate);
      bias.at(0, e, 0) += scaled < total ? step : (scaled > total ? -step : R(0));
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::control
