// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/buffer.hpp>

namespace xmoe::inline XMOE_ABI {

/// How the rows of a gate-and-up matrix [2H, cols] are numbered from outside.
enum class RowOrder {
  plain,                 ///< no pairs
  gate_up_concatenated,  ///< gate rows 0 .. H-1, then up rows 0 .. H-1
  gate_up_interleaved,   ///< gate 0, up 0, gate 1, up 1, ...
};

/// Weights: a stack of `count` matrices [rows, cols], rows = outputs, stored for the kernels.
///
/// The rows of one matrix are cut into panels of `width` = 128 bytes; a panel is stored column by
/// column, [cols][width], so that a product streams it once from front to back. The last panel is
/// padded with rows of zeros, and every function keeps them zero. Pairs of gate and up rows lie in
/// alternating panels (gate panel 0, up panel 0, gate panel 1, ...), whatever the outside order.
/// A vector [rows] is a matrix with one column. Gradients and moments use the same layout, so
/// element-wise work runs over `values()`; `at`, `load` and `store` speak rows and columns.
template <class S>
class Panels {
 public:
  /// Rows of a panel. Does not depend on the instruction set.
  static constexpr index width = 128 / static_cast<index>(sizeof(S));

  Panels() = default;
  Panels(index count, index rows, index cols, RowOrder order = RowOrder::plain)
      : count_(count), rows_(rows), cols_(cols), order_(order) {
    if (count < 0 || rows < 0 || cols < 0) {
      detail::fail<shape_error>("xmoe::Panels: shape %td x %td x %td", count, rows, cols);
    }
    values_ = Buffer<S>(count * matrix_size());
  }

  index count() const { return count_; }
  index rows() const { return rows_; }
  index cols() const { return cols_; }
  RowOrder order() const { return order_; }
  /// Numbers without padding.
  index size() const { return count_ * rows_ * cols_; }

  /// Panels of one matrix.
  index panels() const {
    return order_ == RowOrder::plain ? panels_of(rows_) : 2 * panels_of(rows_ / 2);
  }
  /// Rows with padding: panels() * width.
  index padded_rows() const { return panels() * width; }
  /// Stored numbers of one matrix.
  index matrix_size() const { return padded_rows() * cols_; }
  S* matrix(index i) { return values_.data() + i * matrix_size(); }
  const S* matrix(index i) const { return values_.data() + i * matrix_size(); }

  /// Everything that is stored, padding included.
  VectorView<S> values() { return values_.view(); }
  VectorView<const S> values() const { return values_.view(); }

  void zero() { values_.zero(); }

  /// Where row `row` lies among the padded rows.
  index padded_row(index row) const {
    if (order_ == RowOrder::plain) {
      return row;
    }
    const index half = rows_ / 2;
    const bool concatenated = order_ == RowOrder::gate_up_concatenated;
    const bool up = concatenated ? row >= half : row % 2 == 1;
    const index unit = concatenated ? (up ? row - half : row) : row / 2;
    return (2 * (unit / width) + (up ? 1 : 0)) * width + unit % width;
  }
  index offset(index i, index row, index col) const {
    const index r = padded_row(row);
    return i * matrix_size() + (r / width) * cols_ * width + col * width + r % width;
  }
  S& at(index i, index row, index col = 0) { return values_[offset(i, row, col)]; }
  const S& at(index i, index row, index col = 0) const { return values_[offset(i, row, col)]; }

  /// Reads the whole stack from plain numbers [count, rows, cols], or [count, cols, rows] if
  /// `transposed` (the layouts of files). Throws shape_error if there are not exactly size() of
  /// them.
  void load(std::span<const S> numbers, bool transposed = false) {
    visit(static_cast<index>(numbers.size()), transposed, "load",
          [&](S& stored, std::size_t i) { stored = numbers[i]; });
  }
  /// Writes the whole stack as plain numbers; the inverse of `load`.
  void store(std::span<S> numbers, bool transposed = false) const {
    const_cast<Panels*>(this)->visit(static_cast<index>(numbers.size()), transposed, "store",
                                     [&](S& stored, std::size_t i) { numbers[i] = stored; });
  }

 private:
  static index panels_of(index rows) { return (rows + width - 1) / width; }

  template <class F>
  void visit(index given, bool transposed, const char* function, F f) {
    if (given != size()) {
      detail::fail<shape_error>("xmoe::Panels::%s: %td numbers given, %td x %td x %td expected",
                                function, given, count_, rows_, cols_);
    }
    for (index i = 0; i < count_; ++i) {
      for (index row = 0; row < rows_; ++row) {
        for (index col = 0; col < cols_; ++col) {
          const index plain =
              transposed ? (i * cols_ + col) * rows_ + row : (i * rows_ + row) * cols_ + col;
          f(at(i, row, col), static_cast<std::size_t>(plain));
        }
      }
    }
  }

  index count_ = 0;
  index rows_ = 0;
  index cols_ = 0;
  RowOrder order_ = RowOrder::plain;
  Buffer<S> values_;
};

}  // namespace xmoe::inline XMOE_ABI
