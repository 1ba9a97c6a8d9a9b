// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>

namespace xmoe::inline XMOE_ABI::metrics {

/// Experts that stay idle. Of no token, or no chunk: zeros.
struct Sparsity {
  index tokens = 0;          ///< without padding
  index chunks = 0;          ///< runs of `chunk` neighbours
  double token_level = 0.0;  ///< share of zero gates: 1 - active experts / E, mean over tokens
  /// 1 - |experts active in any token of the chunk| / E, mean over chunks: what a device that works
  /// on a chunk at once need not load.
  double chunk_level = 0.0;
};

namespace sparsity_detail {

/// each(t, mark): calls mark(expert) for every active expert of token t.
template <class F>
Sparsity measure(const char* name, index tokens, index experts, index chunk,
                 VectorView<const std::uint8_t> valid, VectorView<const index> sequence_offsets,
                 F&& each) {
  detail::check_mask(name, valid, tokens);
  if (chunk < 1) {
    detail::fail<value_error>("%s: chunk is %td, must be 1 or more", name, chunk);
  }
  Sparsity s;
  const auto size = static_cast<std::size_t>(experts);
  std::vector<index> in_token(size, -1), in_chunk(size, -1);  // last token, first token of chunk
  index active = 0, joint = 0;                                // sums over tokens, over chunks
  each_sequence(name, sequence_offsets, tokens, [&](index begin, index end) {
    index length = 0, start = begin, here = 0;
    for (index t = begin; t < end; ++t) {
      if (!is_real(valid, t)) {
        continue;
      }
      if (length == 0) {
        start = t;
        here = 0;
      }
      ++s.tokens;
      each(t, [&](index expert) {
        const auto e = static_cast<std::size_t>(expert);
        active += in_token[e] != t ? 1 : 0;
        here += in_chunk[e] != start ? 1 : 0;
        in_token[e] = t;
        in_chunk[e] = start;
      });
      if (++length == chunk) {
        ++s.chunks;
        joint += here;
        length = 0;
      }
    }
  });
  const auto idle = [&](index busy, index of) {
    const double all = static_cast<double>(of) * static_cast<double>(experts);
    return all > 0.0 ? 1.0 - static_cast<double>(busy) / all : 0.0;
  };
  s.token_level = idle(active, s.tokens);
  s.chunk_level = idle(joint, s.chunks);
  return s;
}

}  // namespace sparsity_detail

/// Reads a routing; an expert whose weight is 0 is idle.
///
///   in      chunk                    tokens a chunk. Chunks follow each other without overlap,
///                                    padding left out; a shorter rest of a sequence counts for
///                                    token_level alone
///           valid [T]                0 = padding; empty = no padding
///           sequence_offsets [S+1]   from 0 to T; empty = all tokens are one sequence
///   cost    O(T + E + N)
///   throws  shape_error if mask or offsets do not fit, value_error if chunk < 1
///   source  arXiv 2507.08771; thunlp/BlockFFN pretrain/cpm/dragonfly/moe_modules.py
template <class R>
Sparsity sparsity(const RoutingView<R>& routing, index chunk,
                  VectorView<const std::uint8_t> valid = {},
                  VectorView<const index> sequence_offsets = {}) {
  return sparsity_detail::measure("xmoe::metrics::sparsity", routing.tokens, routing.experts, chunk,
                                  valid, sequence_offsets, [&](index t, auto&& mark) {
                                    for (index a = routing.begin(t); a < routing.end(t); ++a) {
                                      if (routing.weight[a] != R(0)) {
                                        mark(static_cast<index>(routing.expert[a]));
                                      }
                                    }
                                  });
}

/// The same of gates [T,E], e.g. what a ReLU router gives.
template <class R>
Sparsity sparsity(MatrixView<const R> gates, index chunk, VectorView<const std::uint8_t> valid = {},
                  VectorView<const index> sequence_offsets = {}) {
  return sparsity_detail::measure("xmoe::metrics::sparsity", gates.rows(), gates.cols(), chunk,
                                  valid, sequence_offsets, [&](index t, auto&& mark) {
                                    for (index e = 0; e < gates.cols(); ++e) {
                                      if (gates(t, e) != R(0)) {
                                        mark(e);
                                      }
                                    }
                                  });
}

}  // namespace xmoe::inline XMOE_ABI::metrics
