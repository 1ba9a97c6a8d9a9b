// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/multiply.hpp>
#include <xmoe/core/row_sum.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// The first group from `group` on that has rows, or groups.count.
inline index next_group(Groups groups, index group) {
  while (group < groups.count && groups.offsets[group] == groups.offsets[group + 1]) {
    ++group;
  }
  return group;
}

/// Calls body(group, begin, end) for the rows of every group whose tokens an item owns.
template <class F>
void for_each_stretch(Groups groups, const std::int32_t* tokens, const ColumnList::Item& item,
                      index all_tokens, const F& body) {
  const bool all = item.tokens == all_tokens;
  for (index g = next_group(groups, 0); g < groups.count; g = next_group(groups, g + 1)) {
    const index begin = groups.offsets[g];
    const index end = groups.offsets[g + 1];
    const index from = all ? begin : lower_row(tokens, begin, end, item.token);
    const index to = all ? end : lower_row(tokens, from, end, item.token + item.tokens);
    if (from < to) {
      body(g, from, to);
    }
  }
}

/// One item's part of the output while it is summed, in memory of its own: neighbours in a row of
/// the output belong to other threads, and would travel with every line that is fetched ahead.
template <class S>
struct OutputPart {
  S* data;
  index stride;
  index token;
  index col;
  index cols;  ///< without padding

  S* row(index t) const { return data + (t - token) * stride; }

  void begin(MatrixView<S> out, index tokens, bool add) const {
    for (index t = token; t < token + tokens; ++t) {
      S* const to = row(t);
      if (add) {
        __builtin_memcpy(to, out.row_data(t) + col, static_cast<std::size_t>(cols) * sizeof(S));
      } else {
        __builtin_memset(to, 0, static_cast<std::size_t>(stride) * sizeof(S));
      }
    }
  }
  void end(MatrixView<S> out, index tokens) const {
    for (index t = token; t < token + tokens; ++t) {
      __builtin_memcpy(out.row_data(t) + col, row(t), static_cast<std::size_t>(cols) * sizeof(S));
    }
  }
};

/// to += weight * (row + bias), one panel.
template <index width, class S>
[[gnu::always_inline]] inline void add_panel(S* to, S weight, const S* row, const S* bias) {
  using V = Simd<S>;
#pragma GCC unroll 8
  for (index j = 0; j < width; j += V::lanes) {
    typename V::Vector v = V::load(row + j);
    if (bias != nullptr) {
      v += V::load(bias + j);
    }
    V::store(to + j, V::load(to + j) + weight * v);
  }
}

/// Strips of the rows [from, to) of a group, at most `most` of them from `from` on.
template <class W>
index cut_strips(const PackedRows<W>& a, Split blocks, index start, index from, index to,
                 index most, Strip<W>* strips) {
  constexpr index width = Panels<W>::width;
  // block of a row: the first total % parts blocks are one row higher
  const index low = blocks.total / blocks.parts;
  const index higher = blocks.total % blocks.parts;
  const index row = from - start;
  index b = row < higher * (low + 1) ? row / (low + 1) : higher + (row - higher * (low + 1)) / low;
  index count = 0;
  for (index m = from; m < to && count < most; ++b) {
    const index block = start + blocks.begin(b);
    const index height = blocks.size(b);
    const index end = block + height < to ? block + height : to;
    strips[count++] = {a.block(block) + (m - block) * width, height * width, m - from, end - m, m};
    m = end;
  }
  return count;
}

template <class W, class R>
void grouped_combine(const Workers& workers, Workspace& workspace, Groups groups,
                     const PackedRows<W>& a, const Panels<W>& w,
                     const Panels<typename Arithmetic<W>::Sum>& bias, bool add,
                     const RowSum<typename Arithmetic<W>::Sum, R>& result) {
  using Product = Multiply<W>;
  using Sum = typename Product::Sum;
  constexpr index width = Panels<W>::width;
  const Workspace::Scope scope(workspace);
  const index rows = groups.rows < Product::most_rows ? groups.rows : Product::most_rows;
  const MatrixView<Sum> out = result.out;
  const ColumnList list(workers, w.panels(), out.rows(), groups.rows * w.cols() * w.rows());
  const index part_size = list.most_units() * width * list.most_tokens();
  Sum* const sums_all = workspace.take<Sum>(workers.threads() * Product::sums_size(rows));
  Sum* const parts_all = workspace.take<Sum>(workers.threads() * part_size);
  if (workspace.measuring()) {
    return;
  }
  const index size = w.panel_size();
  list.run(workers, [&](const ColumnList::Item& item, index worker) {
    const index first = item.unit * width;
    const index last = (item.unit + item.units) * width;
    const OutputPart<Sum> part{parts_all + worker * part_size, item.units * width, item.token,
                               first, (last < w.rows() ? last : w.rows()) - first};
    part.begin(out, item.tokens, add);
    for_each_stretch(groups, result.token, item, out.rows(), [&](index g, index from, index to) {
      const index start = groups.offsets[g];
      const index total = groups.offsets[g + 1] - start;
      const Split blocks{total, ceil_div(total, Tile<W>::max_rows)};
      const Sum* const b = bias.count() > 0 ? bias.matrix(g) + first : nullptr;
      const W* const panel = w.matrix(g) + item.unit * size;
      while (from < to) {
        Strip<W> strips[Product::most_strips];
        const index count = cut_strips(a, blocks, start, from, to, Product::most_strips, strips);
        const index end = strips[count - 1].first + strips[count - 1].height;
        const index following = end < to ? g : next_group(groups, g + 1);
        const W* const after =
            following < groups.count ? w.matrix(following) + item.unit * size : panel;
        // The rows after these lie behind them, whether of this group or of the next one.
        const index stop =
            end < to ? to : (following < groups.count ? groups.offsets[following + 1] : end);
        const index then = stop - end < Product::most_rows ? stop - end : Product::most_rows;
        const auto behind = reinterpret_cast<std::uintptr_t>(a.block(end));
        const Product product{workers.tuning(),
                              strips,
                              count,
                              end - from,
                              w.steps(),
                              sums_all + worker * Product::sums_size(rows),
                              {&behind, then > 0 ? 1 : 0, then * a.row_bytes()}};
        product.template run<1>(
            panel, item.units, after,
            [&](index u, const Strip<W>& strip) {
              for (index r = 0; r < strip.height; ++r) {
                const Sum* const sum = part.row(result.token[strip.first + r]) + u * width;
                __builtin_prefetch(sum, 1, 3);
                __builtin_prefetch(sum + width / 2, 1, 3);
              }
            },
            [&](index u, const Strip<W>& strip, const Sum* sums) {
              for (index r = 0; r < strip.height; ++r) {
                const index m = strip.first + r;
                add_panel<width>(part.row(result.token[m]) + u * width, result.factor(m),
                                 sums + r * width, b == nullptr ? nullptr : b + u * width);
              }
            });
        from = end;
      }
    });
    part.end(out, item.tokens);
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
