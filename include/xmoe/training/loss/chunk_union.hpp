// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/over.hpp>

#include <vector>

namespace xmoe::inline XMOE_ABI::loss {

/// Neighbouring tokens share experts: the soft union of the experts that a chunk of tokens uses.
///
///   L = coefficient * mean over chunks and experts of 1 - prod_{t in chunk} (1 - p_te + 1e-5)
///
///   chunk   tokens of a chunk: rows 0 .. chunk-1 of the call are the first one. The last one may
///           be shorter and counts like the others; padding is no factor, and chunks of padding
///           alone do not count
///   over    rows p in [0,1]
///   grad    dp_te += coefficient * prod / (1 - p_te + 1e-5) / (chunks * E)
///   cost    O(T E), in double
///   throws  value_error for chunk < 1
///   source  arXiv 2507.08771; thunlp/BlockFFN activation_context.py
template <class Over = over::GuardedScores>
struct ChunkUnion {
  float coefficient = 0.01f;
  index chunk = 8;

  static constexpr double guard = 1e-5;

  void check(Sizes) const {
    if (chunk < 1) {
      detail::fail<value_error>("xmoe::loss::ChunkUnion: chunk is %td, must be at least 1", chunk);
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    check({});
    if (view.tokens() == 0) {
      return 0.0;
    }
    const index experts = view.experts();
    index chunks = 0, last = -1;
    for (index t = 0; t < view.routing.tokens; ++t) {
      if (view.is_valid(t) && t / chunk != last) {
        last = t / chunk;
        ++chunks;
      }
    }
    const double unit = static_cast<double>(coefficient) /
                        (static_cast<double>(chunks) * static_cast<double>(experts));
    std::vector<double> unused(static_cast<std::size_t>(experts));  // product of 1 - p + guard
    std::vector<R> slope(static_cast<std::size_t>(experts));
    double value = 0.0;
    for (index begin = 0; begin < view.routing.tokens;) {
      const index left = view.routing.tokens - begin;
      const index end = begin + (left < chunk ? left : chunk);
      unused.assign(unused.size(), 1.0);
      bool any = false;
      for (index t = begin; t < end; ++t) {
        if (view.is_valid(t)) {
          any = true;
          Over::row(view, t, view.scratch);
          for (index e = 0; e < experts; ++e) {
            unused[static_cast<std::size_t>(e)] *= factor(view.scratch[e]);
          }
        }
      }
      for (std::size_t e = 0; any && e < unused.size(); ++e) {
        value += unit * (1.0 - unused[e]);
      }
      for (index t = begin; t < end; ++t) {
        if (view.is_valid(t)) {
          Over::row(view, t, view.scratch);
          for (index e = 0; e < experts; ++e) {
            const auto i = static_cast<std::size_t>(e);
            slope[i] = static_cast<R>(unit * unused[i] / factor(view.scratch[e]));
          }
          Over::row_backward(view, t, VectorView<const R>(view.scratch),
                             VectorView<const R>{slope.data(), experts}, dscores, dlogits);
        }
      }
      begin = end;
    }
    return value;
  }

 private:
  template <class R>
  static double factor(R p) {
    return 1.0 - static_cast<double>(p) + guard;
  }
};
static_assert(Loss<ChunkUnion<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
