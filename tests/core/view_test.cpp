// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/view.hpp>

#include <sys/mman.h>

#include <Eigen/Core>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ColMajor = Eigen::MatrixXf;

RowMajor counted(index rows, index cols) {
  RowMajor m(rows, cols);
  for (index i = 0; i < rows * cols; ++i) {
    m.data()[i] = static_cast<float>(i);
  }
  return m;
}

/// The view reads what Eigen reads.
template <class M>
void check_same(In<float> view, const M& m) {
  REQUIRE(view.rows() == m.rows());
  REQUIRE(view.cols() == m.cols());
  for (index i = 0; i < m.rows(); ++i) {
    for (index j = 0; j < m.cols(); ++j) {
      CHECK(view(i, j) == m(i, j));
      CHECK(view.row(i)[j] == m(i, j));
    }
  }
}

// What converts and what does not.
static_assert(std::is_trivially_copyable_v<In<float>> && std::is_trivially_copyable_v<Out<float>>);
static_assert(std::convertible_to<RowMajor&, Out<float>>);
static_assert(std::convertible_to<const RowMajor&, In<float>>);
static_assert(!std::convertible_to<const RowMajor&, Out<float>>);
static_assert(std::convertible_to<Out<float>, In<float>>);
static_assert(!std::convertible_to<In<float>, Out<float>>);
static_assert(!std::convertible_to<MatrixView<float, device>, In<float>>);
static_assert(!std::convertible_to<Out<float>, MatrixView<float, device>>);
static_assert(!std::convertible_to<RowMajor&, MatrixView<float, device>>);
static_assert(!std::convertible_to<RowMajor&, Out<double>>);
static_assert(!std::convertible_to<float*, Out<float>>);
static_assert(!std::convertible_to<VectorView<const float>, VectorView<float>>);
static_assert(std::convertible_to<VectorView<float>, VectorView<const float>>);

TEST_CASE("a view of an Eigen matrix shows its rows without a copy", "[core][view]") {
  RowMajor m = counted(3, 5);
  const Out<float> view = m;
  CHECK(view.data() == m.data());
  CHECK(view.stride() == 5);
  check_same(view, m);
  view(2, 4) = -1.f;
  CHECK(m(2, 4) == -1.f);
  CHECK(view.row_data(1) == m.data() + 5);
}

TEST_CASE("maps and blocks keep their stride", "[core][view]") {
  RowMajor m = counted(6, 8);
  check_same(m.middleRows(2, 3), m.middleRows(2, 3));
  check_same(m.block(1, 2, 4, 3), m.block(1, 2, 4, 3));
  const In<float> block = m.block(1, 2, 4, 3);
  CHECK(block.stride() == 8);
  const Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>> map(m.data() + 1, 5, 4,
                                                                Eigen::OuterStride<>(8));
  check_same(map, map);
  const Eigen::Ref<const RowMajor> reference = m.block(1, 2, 4, 3);
  check_same(reference, reference);
}

TEST_CASE("a single row or column is the same in both orders", "[core][view]") {
  Eigen::VectorXf column(4);
  column << 1, 2, 3, 4;
  const In<float> view = column;
  CHECK(view.rows() == 4);
  CHECK(view.cols() == 1);
  CHECK(view(3, 0) == 4.f);
  Eigen::RowVectorXf row(4);
  row << 1, 2, 3, 4;
  check_same(row, row);
  ColMajor m = counted(3, 4);
  check_same(m.col(2), m.col(2));
  const In<float> every_other = Eigen::Map<Eigen::VectorXf, 0, Eigen::InnerStride<>>(
      column.data(), 2, Eigen::InnerStride<>(2));
  CHECK(every_other(1, 0) == 3.f);
}

TEST_CASE("strided columns are refused with their distance", "[core][view]") {
  RowMajor m = counted(4, 8);
  using Strided = Eigen::Map<RowMajor, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
  const Strided map(m.data(), 4, 4, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(8, 2));
  CHECK_THROWS_AS(In<float>(map), shape_error);
  CHECK_THROWS_WITH(In<float>(map), "xmoe::MatrixView: columns are 2 numbers apart, must be 1");
}

TEST_CASE("a span must be long enough", "[core][view]") {
  std::vector<float> numbers(12);
  const Out<float> view(std::span<float>(numbers), 3, 4);
  CHECK(view.data() == numbers.data());
  CHECK(view.stride() == 4);
  CHECK_NOTHROW(Out<float>(std::span<float>(numbers), 0, 4));
  CHECK_THROWS_WITH(Out<float>(std::span<float>(numbers), 4, 4),
                    "xmoe::MatrixView: span of 12 numbers for 4 x 4");
  CHECK_THROWS_AS(Out<float>(std::span<float>(numbers), -1, 4), shape_error);
  CHECK_THROWS_AS(Out<float>(std::span<float>(numbers), 3, -4), shape_error);
}

TEST_CASE("a default view is empty", "[core][view]") {
  const In<float> none;
  CHECK(none.rows() == 0);
  CHECK(none.cols() == 0);
  CHECK(none.data() == nullptr);
}

TEST_CASE("rows may lie beyond 2^31 numbers", "[core][view]") {
  // Address space only: of the 24 GiB three pages are ever touched.
  const index stride = index(1) << 31;
  const std::size_t bytes = static_cast<std::size_t>(2 * stride + 4096) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    WARN("no address space for this test");
    return;
  }
  const Out<float> view(static_cast<float*>(memory), 3, 7, stride);
  view(0, 0) = 1.f;
  view(1, 3) = 2.f;
  view(2, 6) = 3.f;
  CHECK(view.row_data(2) - view.data() == 2 * stride);
  CHECK(static_cast<float*>(memory)[stride + 3] == 2.f);
  CHECK(static_cast<float*>(memory)[2 * stride + 6] == 3.f);
  CHECK(view(0, 0) == 1.f);
  munmap(memory, bytes);
}

}  // namespace
