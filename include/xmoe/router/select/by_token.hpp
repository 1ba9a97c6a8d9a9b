// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/select.hpp>

#include <algorithm>

/// What selectors of whole batches share.
namespace xmoe::inline XMOE_ABI::select::detail {

using namespace xmoe::detail;  // so that `detail::` means both in this folder

/// The last pair, in order, that a choice from many pairs still takes.
struct PairCut {
  std::int64_t code = std::numeric_limits<std::int64_t>::max();
  index place = -1;

  /// All that may be taken.
  static constexpr PairCut everything() {
    return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<index>::max()};
  }
  constexpr bool takes(std::int64_t other, index at) const {
    return other > code || (other == code && at <= place);
  }
};

template <class R>
index count_valid(const SelectBatch<R>& in) {
  index count = 0;
  for (index t = 0; t < in.scores.rows(); ++t) {
    count += in.is_valid(t) ? 1 : 0;
  }
  return count;
}

/// body(token, worker) in parallel, a block of tokens at a time.
template <class Traits, class F>
void for_each_token(Context<Traits>& ctx, index tokens, F&& body) {
  constexpr index block = 32;
  ctx.backend.parallel((tokens + block - 1) / block, [&](index item, index worker) {
    const index last = std::min((item + 1) * block, tokens);
    for (index t = item * block; t < last; ++t) {
      body(t, worker);
    }
  });
}

/// Fills a routing with the pairs for which taken(token, expert, order code) holds, never a masked
/// one and none of padding; the experts of a token best first, ties the lower index.
///
///   rows   scratch [threads * E]
///   cost   two passes over [T,E], in parallel over tokens
template <class Traits, class R, class Taken>
void write_by_token(Context<Traits>& ctx, const SelectBatch<R>& in, Candidate<R>* rows,
                    RoutingView<R>& routing, const Taken& taken) {
  const index tokens = in.scores.rows();
  const index experts = in.scores.cols();
  const auto collect = [&](index t, Candidate<R>* row) {
    index count = 0;
    for (index e = 0; e < experts && in.is_valid(t); ++e) {
      const SelectionKey<R> key = in.key(t, e);
      const std::int64_t code = order_code(key);
      if (code != forbidden_code<R> && taken(t, e, code)) {
        row[count++] = Candidate<R>::make(key, e);
      }
    }
    return count;
  };
  for_each_token(ctx, tokens, [&](index t, index worker) {
    routing.offsets[t + 1] = collect(t, rows + worker * experts);
  });
  routing.offsets[0] = 0;
  for (index t = 0; t < tokens; ++t) {
    routing.offsets[t + 1] += routing.offsets[t];
  }
  routing.valid_tokens = count_valid(in);
  for_each_token(ctx, tokens, [&](index t, index worker) {
    Candidate<R>* const row = rows + worker * experts;
    const index count = collect(t, row);
    std::sort(row, row + count, [](Candidate<R> a, Candidate<R> b) { return b < a; });
    for (index i = 0; i < count; ++i) {
      routing.expert[routing.begin(t) + i] = row[i].expert();
    }
  });
}

/// Counts in offsets[t+1], ids of token t from expert[t * width] on: makes offsets, closes gaps.
template <class R>
void pack_by_token(RoutingView<R>& routing, index width) {
  routing.offsets[0] = 0;
  for (index t = 0; t < routing.tokens; ++t) {
    const index count = routing.offsets[t + 1];
    std::copy(routing.expert + t * width, routing.expert + t * width + count,
              routing.expert + routing.offsets[t]);
    routing.offsets[t + 1] = routing.offsets[t] + count;
  }
}

}  // namespace xmoe::inline XMOE_ABI::select::detail
