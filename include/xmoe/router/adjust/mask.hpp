// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/adjust.hpp>
#include <xmoe/core/math.hpp>

namespace xmoe::inline XMOE_ABI::adjust {

/// Experts that a token may not use get a logit of -Inf: by a table over what x does not say (word,
/// task, domain, modality, stratum), or for all tokens alike (experts switched off).
///
///   allowed  [I,E] 0 = masked; row Batch::ids[t] is token t's. One row: every token's. The memory
///            stays the caller's and has to outlive the layer's calls. Empty: nothing is masked
///   grad     0 for masked experts
///   throws   shape_error if the table has not E columns, value_error for an id without a row
///   not on   devices: the table lies in the host's memory
struct Mask {
  static constexpr bool host_only = true;

  MatrixView<const std::uint8_t> allowed{};

  template <class R>
  void row(RowSite site, VectorView<R> logits) const {
    fill(site, logits, -math::infinity<R>);
  }
  template <class R>
  void row_backward(RowSite site, VectorView<R> dlogits) const {
    fill(site, dlogits, R(0));
  }

  void check(Sizes sizes) const {
    if (allowed.rows() > 0 && allowed.cols() != sizes.experts) {
      detail::fail<shape_error>(
          "xmoe::adjust::Mask: allowed has %td columns, there are %td experts", allowed.cols(),
          sizes.experts);
    }
  }
  template <class S>
  void check_batch(const Batch<S>& batch) const {
    for (index t = 0; t < batch.x.rows() && allowed.rows() > 1; ++t) {
      if (batch.is_valid(t) && (batch.id(t) < 0 || batch.id(t) >= allowed.rows())) {
        detail::fail<value_error>(
            "xmoe::adjust::Mask: the id of token %td is %d, allowed has %td rows", t,
            static_cast<int>(batch.id(t)), allowed.rows());
      }
    }
  }

 private:
  template <class R>
  void fill(RowSite site, VectorView<R> row, R value) const {
    if (allowed.rows() == 0) {
      return;
    }
    const std::uint8_t* own = allowed.row_data(allowed.rows() == 1 ? 0 : site.id);
    for (index e = 0; e < row.size(); ++e) {
      row[e] = own[e] == 0 ? value : row[e];
    }
  }
};
static_assert(Adjust<Mask> && AdjustsGradient<Mask>);

}  // namespace xmoe::inline XMOE_ABI::adjust
