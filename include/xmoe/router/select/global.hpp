// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/router/select/by_token.hpp>

namespace xmoe::inline XMOE_ABI::select {

/// The k S largest of the S x E scores of a sequence of S tokens: experts and tokens compete
/// together. As much work as k experts a token; a token may get no expert, or all.
///
/// A token's experts depend on the other tokens of its sequence, later ones included. With one
/// token a call, as in decoding, it is the top k of the row.
///
///   in      scores [T,E], comparable across tokens; S counts valid tokens
///   out     k S pairs a sequence; fewer only if fewer are allowed (a key of -Inf is not)
///   ties    the lower token, then the lower expert
///   grad    none: the choice counts as constant
///   cost    sizeof(score) + 2 passes over [T,E], in parallel over sequences or over tokens
///   throws  value_error unless 1 <= k <= E and sequence >= 0
///   source  giangdip2410/USMoE, USMoE/Training_Free/models/modeling_olmoe.py
struct Global {
  index k = 2;         ///< experts a token on average
  index sequence = 0;  ///< tokens of the call in a row that compete; 0 = all

  index max_assignments(index tokens, index experts) const { return tokens * std::min(k, experts); }

  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    using R = typename Traits::routing;
    const index tokens = in.scores.rows();
    const index experts = in.scores.cols();
    const index threads = ctx.backend.threads();
    const index length = std::max(sequence > 0 ? std::min(sequence, tokens) : tokens, index(1));
    const index sequences = (tokens + length - 1) / length;
    const Workspace::Scope scope(ctx.workspace);
    auto* rows = ctx.workspace.template take<Candidate<R>>(threads * experts);
    auto* counts = ctx.workspace.template take<index>(threads * bins);
    auto* cuts = ctx.workspace.template take<detail::PairCut>(sequences);
    if (ctx.measuring()) {
      return;
    }
    const auto rows_of = [&](index s) {
      return Rows{s * length, std::min((s + 1) * length, tokens)};
    };
    if (sequences >= threads) {
      ctx.backend.parallel(sequences, [&](index s, index worker) {
        const auto all_here = [](index n, const auto& body) {
          for (index i = 0; i < n; ++i) {
            body(i, index(0));
          }
        };
        cuts[s] = find(in, rows_of(s), counts + worker * bins, 1, all_here);
      });
    } else {
      for (index s = 0; s < sequences; ++s) {
        cuts[s] = find(in, rows_of(s), counts, threads,
                       [&](index n, const auto& body) { detail::for_each_token(ctx, n, body); });
      }
    }
    detail::write_by_token(ctx, in, rows, routing, [&](index t, index e, std::int64_t code) {
      return cuts[t / length].takes(code, t * experts + e);
    });
  }

  void check(Sizes sizes) const {
    if (k < 1 || k > sizes.experts || sequence < 0) {
      detail::fail<value_error>(
          "xmoe::select::Global: k is %td, sequence is %td; k must be in 1 .. %td (experts), "
          "sequence 0 or more",
          k, sequence, sizes.experts);
    }
  }

 private:
  static constexpr index bins = 256;

  struct Rows {
    index begin, end;
  };

  /// Order codes as unsigned numbers of the width of R that rise with them, and back.
  template <class R>
  using Digits = std::conditional_t<sizeof(R) == 4, std::uint32_t, std::uint64_t>;
  template <class R>
  static constexpr Digits<R> sign_bit = Digits<R>(1) << (8 * sizeof(R) - 1);
  template <class R>
  static Digits<R> digits(std::int64_t code) {
    return static_cast<Digits<R>>(code) ^ sign_bit<R>;
  }
  template <class R>
  static std::int64_t code_of(Digits<R> d) {
    return static_cast<std::make_signed_t<Digits<R>>>(d ^ sign_bit<R>);
  }

  /// Where the choice of some rows ends. Radix selection: one digit of the last code taken after
  /// the other, from counts, which add up to the same in any order. each(n, body) runs
  /// body(row, worker).
  template <class R, class Each>
  detail::PairCut find(const SelectBatch<R>& in, Rows rows, index* counts, index workers,
                       const Each& each) const {
    const index experts = in.scores.cols();
    index left = 0;  // pairs to take among those that begin with the digits found
    for (index t = rows.begin; t < rows.end; ++t) {
      left += in.is_valid(t) ? std::min(k, experts) : 0;
    }
    if (left == 0) {
      return {};
    }
    Digits<R> found = 0;
    index equal = 0;  // pairs that begin with the digits found
    for (int shift = 8 * static_cast<int>(sizeof(R)) - 8; shift >= 0; shift -= 8) {
      std::fill(counts, counts + workers * bins, index(0));
      each(rows.end - rows.begin, [&](index row, index worker) {
        const index t = rows.begin + row;
        index* const mine = counts + worker * bins;
        for (index e = 0; e < experts && in.is_valid(t); ++e) {
          const std::int64_t code = order_code(in.key(t, e));
          const Digits<R> d = digits<R>(code) ^ found;  // 0 where they agree
          if (code != forbidden_code<R> && (d >> shift) >> 8 == 0) {
            ++mine[d >> shift];
          }
        }
      });
      index bin = bins - 1;
      for (; bin >= 0; --bin) {
        equal = 0;
        for (index w = 0; w < workers; ++w) {
          equal += counts[w * bins + bin];
        }
        if (equal >= left) {
          break;
        }
        left -= equal;
      }
      if (bin < 0) {
        return detail::PairCut::everything();  // fewer are allowed
      }
      found |= static_cast<Digits<R>>(bin) << shift;
    }
    const std::int64_t last = code_of<R>(found);
    for (index t = rows.begin; t < rows.end && left < equal; ++t) {  // some of a tie
      for (index e = 0; e < experts && in.is_valid(t); ++e) {
        if (order_code(in.key(t, e)) == last && --left == 0) {
          return {last, t * experts + e};
        }
      }
    }
    return {last, std::numeric_limits<index>::max()};
  }
};
static_assert(BatchSelect<Global>);

}  // namespace xmoe::inline XMOE_ABI::select
