// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/buffer.hpp>
#include <xmoe/core/narrow.hpp>

namespace xmoe::inline XMOE_ABI {

/// How the rows of a gate-and-up matrix [2H, cols] are numbered from outside.
enum class RowOrder {
  plain,                 ///< no pairs
  gate_up_concatenated,  ///< gate rows 0 .. H-1, then up rows 0 .. H-1
  gate_up_interleaved,   ///< gate 0, up 0, gate 1, up 1, ...
};

/// Weights: a stack of `count` matrices [rows, cols], rows = outputs, stored for the kernels.
///
/// The rows of one matrix are cut into panels of `width` sums of 128 bytes; a panel is stored
/// column by column, [steps][width][per_step], so that a product streams it once from front to
/// back. A step is one column; two in bfloat16, whose products come in pairs. The last panel is
/// padded with rows of zeros (bfloat16: and a last column), and every function keeps them zero.
/// Pairs of gate and up rows lie in alternating panels (gate panel 0, up panel 0, gate panel 1,
/// ...), whatever the outside order. A vector [rows] is a matrix with one column. Gradients and
/// moments of float and double weights use the same layout, so element-wise work runs over
/// `values()`; `at`, `load` and `store` speak rows and columns.
template <class S>
class Panels {
 public:
  /// Rows of a panel. Does not depend on the instruction set.
  static constexpr index width = 128 / static_cast<index>(sizeof(sum_type<S>));
  /// Columns of a step.
  static constexpr index per_step = std::same_as<S, bfloat16> ? 2 : 1;
  /// Stored numbers of a step.
  static constexpr index step_size = width * per_step;

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
  /// Steps of a panel.
  index steps() const { return (cols_ + per_step - 1) / per_step; }
  /// Stored numbers of one panel.
  index panel_size() const { return steps() * step_size; }
  /// Stored numbers of one matrix.
  index matrix_size() const { return panels() * panel_size(); }
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
    return i * matrix_size() + (r / width) * panel_size() + (col / per_step) * step_size +
           (r % width) * per_step + col % per_step;
  }
  S& at(index i, index row, index col = 0) { return values_[offset(i, row, col)]; }
  const S& at(index i, index row, index col = 0) const { return values_[offset(i, row, col)]; }

  /// Reads the whole stack from plain numbers [count, rows, cols], or [count, cols, rows] if
  /// `transposed` (the layouts of files). Throws shape_error if there are not exactly size() of
  /// them.
  void load(std::span<const S> numbers, bool transposed = false) { read(numbers, transposed); }
  /// The same from floats, rounded to S.
  void load(std::span<const float> numbers, bool transposed = false) requires(NarrowWeight<S>) {
    read(numbers, transposed);
  }
  /// Writes the whole stack as plain numbers; the inverse of `load`.
  void store(std::span<S> numbers, bool transposed = false) const { write(numbers, transposed); }
  void store(std::span<float> numbers, bool transposed = false) const requires(NarrowWeight<S>) {
    write(numbers, transposed);
  }

  /// body(number, other number) for every stored pair of equal row and column of two stacks of one
  /// shape, padding rows included, whatever their types. Throws shape_error if shapes differ.
  template <class Other, class F>
  void zip(Other& other, F&& body) {
    if (other.count() != count_ || other.rows() != rows_ || other.cols() != cols_ ||
        other.order() != order_) {
      detail::fail<shape_error>(
          "xmoe::Panels::zip: %td x %td x %td with %td x %td x %td, or another row order", count_,
          rows_, cols_, other.count(), other.rows(), other.cols());
    }
    for (index p = 0; p < count_ * panels(); ++p) {
      S* const here = values_.data() + p * panel_size();
      auto* const there = other.values().data() + p * other.panel_size();
      for (index col = 0; col < cols_; ++col) {
        S* const a = here + (col / per_step) * step_size + col % per_step;
        auto* const b = there + (col / Other::per_step) * Other::step_size + col % Other::per_step;
        for (index r = 0; r < width; ++r) {
          body(a[r * per_step], b[r * Other::per_step]);
        }
      }
    }
  }

 private:
  static index panels_of(index rows) { return (rows + width - 1) / width; }

  template <class From>
  void read(std::span<const From> numbers, bool transposed) {
    visit(static_cast<index>(numbers.size()), transposed, "load",
          [&](S& stored, std::size_t i) { stored = convert<S>(numbers[i]); });
  }
  template <class To>
  void write(std::span<To> numbers, bool transposed) const {
    const_cast<Panels*>(this)->visit(
        static_cast<index>(numbers.size()), transposed, "store",
        [&](S& stored, std::size_t i) { numbers[i] = convert<To>(stored); });
  }

  template <class To, class From>
  static To convert(From value) {
    if constexpr (std::same_as<To, From>) {
      return value;
    } else if constexpr (NarrowWeight<From>) {
      return static_cast<To>(static_cast<float>(value));
    } else {
      return static_cast<To>(value);
    }
  }

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
