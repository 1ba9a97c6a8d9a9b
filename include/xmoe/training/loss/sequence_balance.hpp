// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::loss {

/// LoadBalance within each sequence, mean over the sequences: L = 1/S sum_s LoadBalance(s).
///
///   length  tokens of a sequence: rows 0 .. length-1 of the call are the first one, padding
///           included; the last one may be shorter
///   S       sequences with at least one token that is no padding
///   grad    as LoadBalance with f_e and T of the token's sequence, over S
///   cost    O(T E), accumulated in double
///   throws  value_error for length < 1
///   source  arXiv 2412.19437 (DeepSeek-V3)
template <class Counting = counting::AllPerClaim, class Over = over::NormalizedScores>
struct SequenceBalance {
  float coefficient = 1e-4f;
  index length = 4096;

  void check(Sizes) const {
    if (length < 1) {
      detail::fail<value_error>("xmoe::loss::SequenceBalance: length is %td, must be at least 1",
                                length);
    }
  }

  template <class R>
  double evaluate(const LossView<R>& view, MatrixView<R> dscores, MatrixView<R> dlogits) const {
    check({});
    const index tokens = view.routing.tokens;
    index sequences = 0;
    for (index begin = 0; begin < tokens; begin = end_of(begin, tokens)) {
      sequences += valid_tokens(view, begin, end_of(begin, tokens)) > 0 ? 1 : 0;
    }
    double value = 0.0;
    for (index begin = 0; begin < tokens; begin = end_of(begin, tokens)) {
      const index end = end_of(begin, tokens);
      LossView<R> part = view;
      part.logits = rows(view.logits, begin, end);
      part.scores = rows(view.scores, begin, end);
      part.routing.tokens = end - begin;
      part.routing.valid_tokens = valid_tokens(view, begin, end);
      part.routing.offsets = view.routing.offsets + begin;
      if (view.valid.size() != 0) {
        part.valid = {view.valid.data() + begin, end - begin};
      }
      if (part.routing.valid_tokens > 0) {
        value += LoadBalance<Counting, Over>::add(
            part, static_cast<double>(coefficient) / static_cast<double>(sequences),
            rows(dscores, begin, end), rows(dlogits, begin, end));
      }
    }
    return value;
  }

 private:
  index end_of(index begin, index tokens) const {
    return tokens - begin > length ? begin + length : tokens;
  }
  template <class R>
  static index valid_tokens(const LossView<R>& view, index begin, index end) {
    index count = 0;
    for (index t = begin; t < end; ++t) {
      count += view.is_valid(t) ? 1 : 0;
    }
    return count;
  }
  template <class S>
  static MatrixView<S> rows(MatrixView<S> m, index begin, index end) {
    return {m.data() + begin * m.stride(), end - begin, m.cols(), m.stride()};
  }
};
static_assert(Loss<SequenceBalance<>>);

}  // namespace xmoe::inline XMOE_ABI::loss
