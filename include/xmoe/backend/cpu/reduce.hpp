// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/bits.hpp>
#include <xmoe/core/view.hpp>

#include <bit>
#include <limits>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// Column of the first NaN or plus infinity of a row, -1 if there is none.
template <class R>
inline index first_nonfinite_of_row(const R* row, index cols) {
  using Bits = std::conditional_t<sizeof(R) == 4, std::int32_t, std::int64_t>;
  typedef Bits Pattern __attribute__((vector_size(XMOE_VECTOR_BYTES)));
  constexpr index lanes = XMOE_VECTOR_BYTES / static_cast<index>(sizeof(R));
  constexpr index step = 4 * lanes;
  constexpr Bits infinity = std::bit_cast<Bits>(std::numeric_limits<R>::infinity());
  constexpr Bits minus_infinity = std::bit_cast<Bits>(-std::numeric_limits<R>::infinity());
  index begin = 0;
  for (; begin + step <= cols; begin += step) {
    Pattern found{};
#pragma GCC unroll 4
    for (index i = 0; i < step; i += lanes) {
      Pattern p;
      __builtin_memcpy(&p, row + begin + i, sizeof(p));
      // As signed numbers: +inf and its NaNs are the top of the range, the negative NaNs lie
      // between -inf and 0.
      found |= (p >= infinity) | ((p > minus_infinity) & (p < 0));
    }
    Bits any = 0;
    for (index i = 0; i < lanes; ++i) {
      any |= found[i];
    }
    if (any != 0) {
      break;
    }
  }
  for (index col = begin; col < cols; ++col) {
    if (is_nan_or_positive_infinity(row[col])) {
      return col;
    }
  }
  return -1;
}

/// See Backend::sum_by_token.
template <class S>
void sum_by_token(const Workers& workers, const index* offsets, const index* row, In<S> rows,
                  Out<S> out) {
  const index cols = out.cols();
  workers.for_each_row(out.rows(), 8, [&](index t) {
    S* const to = out.row_data(t);
    bool first = true;
    for (index a = offsets[t]; a < offsets[t + 1]; ++a) {
      if (row[a] < 0) {
        continue;
      }
      const S* const from = rows.row_data(row[a]);
      for (index d = 0; d < cols; ++d) {
        to[d] = first ? from[d] : to[d] + from[d];
      }
      first = false;
    }
    for (index d = 0; d < cols && first; ++d) {
      to[d] = S(0);
    }
  });
}

template <class R>
index first_nonfinite(const Workers& workers, In<R> m) {
  constexpr index block = 1 << 15;  // numbers an item
  std::atomic<index> first = -1;
  const index cols = m.cols() < 1 ? 1 : m.cols();
  workers.for_each_row(m.rows(), (block + cols - 1) / cols, [&](index row) {
    const index known = first.load(std::memory_order_relaxed);
    if (known >= 0 && known < row * m.cols()) {
      return;
    }
    const index col = first_nonfinite_of_row(m.row_data(row), m.cols());
    if (col >= 0) {
      const index here = row * m.cols() + col;
      index seen = first.load(std::memory_order_relaxed);
      while ((seen < 0 || here < seen) && !first.compare_exchange_weak(seen, here)) {
      }
    }
  });
  return first.load();
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
