// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/error.hpp>

#include <concepts>
#include <span>
#include <type_traits>

namespace xmoe::inline XMOE_ABI {

/// Memory spaces. Part of a view's type: a device view never reaches a host function.
struct host {};
struct device {};

/// A contiguous run of numbers: pointer and length. Usable in device code.
template <class S>
struct VectorView {
  S* first = nullptr;
  index count = 0;

  XMOE_HD constexpr S& operator[](index i) const { return first[i]; }
  XMOE_HD constexpr S* data() const { return first; }
  XMOE_HD constexpr index size() const { return count; }
  XMOE_HD constexpr S* begin() const { return first; }
  XMOE_HD constexpr S* end() const { return first + count; }
  template <class T>
  requires(!std::is_const_v<S> && std::same_as<T, const S>)  //
      XMOE_HD constexpr
      operator VectorView<T>() const {  // NOLINT(google-explicit-constructor)
    return {first, count};
  }
};

namespace detail {
/// Dense matrices of Eigen's kind, recognised without including Eigen.
template <class M>
concept EigenLike = requires(M& m) {
  m.data();
  { m.rows() } -> std::convertible_to<index>;
  { m.cols() } -> std::convertible_to<index>;
  { m.outerStride() } -> std::convertible_to<index>;
  { m.innerStride() } -> std::convertible_to<index>;
  { std::remove_cvref_t<M>::IsRowMajor } -> std::convertible_to<bool>;
  { std::remove_cvref_t<M>::ColsAtCompileTime } -> std::convertible_to<int>;
};
/// Row-major, or a single column (which reads the same way in both orders).
template <class M>
concept RowMajorLike = EigenLike<M> &&
    (bool(std::remove_cvref_t<M>::IsRowMajor) || std::remove_cvref_t<M>::ColsAtCompileTime == 1);
template <class M, class S>
concept PointsTo = std::convertible_to<decltype(std::declval<M&>().data()), S*>;
}  // namespace detail

/// A row-major matrix that somebody else owns: pointer, rows, columns, distance between rows.
///
///   S       scalar, const for input
///   Space   host or device; part of the type, so that mixing them does not compile
///
/// Converts implicitly from a row-major Eigen matrix, map or block, and from MatrixView<non-const>.
/// Any stride >= cols and any alignment are legal. Column-major matrices do not convert: their rows
/// are not contiguous, and a silent copy would hide the cost; `interop/eigen.hpp` copies on demand.
/// Trivially copyable.
template <class S, class Space = host>
class MatrixView {
 public:
  constexpr MatrixView() = default;
  XMOE_HD constexpr MatrixView(S* data, index rows, index cols)
      : MatrixView(data, rows, cols, cols) {}
  XMOE_HD constexpr MatrixView(S* data, index rows, index cols, index stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}

  /// From a span that holds rows * cols numbers. Throws shape_error if it is shorter.
  constexpr MatrixView(std::span<S> numbers, index rows, index cols)
      : MatrixView(numbers.data(), rows, cols, cols) {
    if (rows < 0 || cols < 0 || static_cast<index>(numbers.size()) < rows * cols) {
      detail::fail<shape_error>("xmoe::MatrixView: span of %td numbers for %td x %td",
                                static_cast<index>(numbers.size()), rows, cols);
    }
  }

  template <class T>
  requires(std::is_const_v<S>&& std::same_as<T, std::remove_const_t<S>>) XMOE_HD
      constexpr MatrixView(const MatrixView<T, Space>& other)  // NOLINT
      : MatrixView(other.data(), other.rows(), other.cols(), other.stride()) {}

  /// From a row-major Eigen object. Throws shape_error if its columns are strided.
  template <class M>
  requires(std::same_as<Space, host>&& detail::RowMajorLike<M>&& detail::PointsTo<
           M, S>) constexpr MatrixView(M&& matrix)  // NOLINT(google-explicit-constructor)
      : data_(matrix.data()), rows_(matrix.rows()), cols_(matrix.cols()) {
    constexpr bool row_major = bool(std::remove_cvref_t<M>::IsRowMajor);
    stride_ = row_major ? static_cast<index>(matrix.outerStride())
                        : static_cast<index>(matrix.innerStride());
    if (row_major && cols_ > 1 && matrix.innerStride() != 1) {
      detail::fail<shape_error>("xmoe::MatrixView: columns are %td numbers apart, must be 1",
                                static_cast<index>(matrix.innerStride()));
    }
  }

  template <class M>
  requires(
      std::same_as<Space, host>&& detail::EigenLike<M> &&
      !detail::RowMajorLike<M>) constexpr MatrixView(M&&) {  // NOLINT(google-explicit-constructor)
    static_assert(
        detail::RowMajorLike<M>,
        "xmoe::MatrixView: a column-major Eigen matrix cannot be viewed as rows; declare "
        "it Eigen::RowMajor, or copy it with xmoe::interop::row_major (interop/eigen.hpp)");
  }

  XMOE_HD constexpr S* data() const { return data_; }
  XMOE_HD constexpr index rows() const { return rows_; }
  XMOE_HD constexpr index cols() const { return cols_; }
  /// Numbers between the starts of two rows.
  XMOE_HD constexpr index stride() const { return stride_; }
  XMOE_HD constexpr S* row_data(index i) const { return data_ + i * stride_; }
  XMOE_HD constexpr VectorView<S> row(index i) const { return {data_ + i * stride_, cols_}; }
  XMOE_HD constexpr S& operator()(index i, index j) const { return data_[i * stride_ + j]; }

 private:
  S* data_ = nullptr;
  index rows_ = 0;
  index cols_ = 0;
  index stride_ = 0;
};

/// Shorthands for host matrices: what a function reads, what it writes.
template <class S>
using In = MatrixView<const S, host>;
template <class S>
using Out = MatrixView<S, host>;

}  // namespace xmoe::inline XMOE_ABI
