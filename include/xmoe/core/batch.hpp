// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

namespace xmoe::inline XMOE_ABI {

/// What comes into a layer: tokens and, where somebody wants it, which of them are real.
template <class S>
struct Batch {
  In<S> x;  ///< [T,D]
  VectorView<const std::uint8_t>
      valid{};  ///< [T] 0 = padding: not routed, not counted; empty = all
  VectorView<const std::int32_t>
      ids{};  ///< [T] what x does not say: token, word, task, domain, modality; empty = none

  Batch() = default;
  Batch(In<S> tokens, VectorView<const std::uint8_t> mask = {},  // NOLINT
        VectorView<const std::int32_t> labels = {})
      : x(tokens), valid(mask), ids(labels) {}
  template <class M>
  requires std::constructible_from < In<S>,
  const M& > Batch(const M& tokens) : x(tokens) {}  // NOLINT(google-explicit-constructor)

  bool is_valid(index token) const { return valid.count == 0 || valid[token] != 0; }
  std::int32_t id(index token) const { return ids.count == 0 ? 0 : ids[token]; }
};

}  // namespace xmoe::inline XMOE_ABI
