// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/multiply.hpp>

namespace xmoe::inline XMOE_ABI::cpu {

namespace detail {

/// `together` panels at a time: 1, or 2 for pairs of gate and up.
template <index together, class W, class Epilogue>
void grouped_forward(const Workers& workers, Workspace& workspace, Groups groups,
                     Rows<typename Arithmetic<W>::Sum> a, const Panels<W>& w,
                     const Epilogue& epilogue) {
  using Product = Multiply<W>;
  using Sum = typename Product::Sum;
  constexpr index width = Panels<W>::width;
  const index cols = w.cols();
  const Workspace::Scope scope(workspace);
  WorkList list(workspace, groups);
  const index rows = groups.rows < Product::most_rows ? groups.rows : Product::most_rows;
  const auto packed_all = PackedRows<W>::take(workspace, workers.threads() * rows, cols);
  Sum* const sums_all = workspace.take<Sum>(workers.threads() * Product::sums_size(rows));
  auto* const next_all = workspace.take<std::uintptr_t>(workers.threads() * rows);
  auto* const packed_item = workspace.take<WorkList::Item>(workers.threads());
  if (workspace.measuring()) {
    return;
  }
  for (index i = 0; i < workers.threads(); ++i) {
    packed_item[i] = {};
  }
  list.cut(workers, Tile<W>::max_rows, Product::most_strips, w.panels() / together,
           cols * width * together);
  list.run(workers, [&](const WorkList::Item& item, index worker) {
    const index start = item.row();
    const PackedRows<W> packed{packed_all.block(worker * rows), packed_all.depth, start};
    Strip<W> strips[Product::most_strips];
    const bool again = item.same_rows(packed_item[worker]);  // other columns of the same rows
    packed_item[worker] = item;
    for (index s = 0; s < item.count; ++s) {
      const index first = item.start + item.blocks.begin(item.block + s);
      const index height = item.blocks.size(item.block + s);
      if (!again) {
        packed.pack(first, height, a, cols);
      }
      strips[s] = {packed.block(first), height * width, first - start, height, first};
    }
    const index count = item.rows();
    // Next in the list is, as a rule, next for this worker.
    std::uintptr_t* const starts = next_all + worker * rows;
    index then = 0;
    if (item.number + 1 < list.items()) {
      const WorkList::Item next = list[item.number + 1];
      then = next.same_rows(item) ? 0 : next.rows();
      for (index r = 0; r < then; ++r) {
        starts[r] = reinterpret_cast<std::uintptr_t>(a.row(next.row() + r));
      }
    }
    const Product product{workers.tuning(),
                          strips,
                          item.count,
                          count,
                          w.steps(),
                          sums_all + worker * Product::sums_size(rows),
                          {starts, then, cols * static_cast<index>(sizeof(Sum))}};
    const index size = w.panel_size();
    const W* const panel = w.matrix(item.group) + item.unit * together * size;
    const W* const after = panel + item.units * together * size;
    product.template run<together>(
        panel, item.units * together, after, [](index, const Strip<W>&) {},
        [&](index u, const Strip<W>& strip, const Sum* sums) {
          const index unit = (item.unit + u / together) * width;
          for (index r = 0; r < strip.height; ++r) {
            const PlanRow row{strip.first + r, strip.first, strip.height};
            if constexpr (together == 1) {
              epilogue(item.group, row, unit, sums + r * width);
            } else {
              epilogue(item.group, row, unit, sums + (r - count) * width, sums + r * width);
            }
          }
        });
  });
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cpu
