// SPDX-License-Identifier: Apache-2.0
#include <xmoe/interop/eigen.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("eigen: a column-major matrix is copied by rows", "[interop]") {
  Eigen::MatrixXf columns(2, 3);
  columns << 1, 2, 3, 4, 5, 6;
  const interop::RowMajor<float> rows = interop::row_major(columns);
  const In<float> view = rows;
  CHECK(view.rows() == 2);
  CHECK(view.cols() == 3);
  for (index i = 0; i < 2; ++i) {
    for (index j = 0; j < 3; ++j) {
      CHECK(view(i, j) == static_cast<float>(3 * i + j + 1));
    }
  }
  CHECK(rows.data() != columns.data());
  CHECK(interop::row_major(columns.transpose() * 2.f)(2, 1) == 12.f);  // any expression
  CHECK(interop::row_major(Eigen::MatrixXf(0, 3)).rows() == 0);
}

TEST_CASE("eigen: a view as a map, without a copy", "[interop]") {
  std::vector<double> numbers = {1, 2, 3, 9, 4, 5, 6, 9};
  const Out<double> view(numbers.data(), 2, 3, 4);
  auto map = interop::map(view);
  CHECK(map.rows() == 2);
  CHECK(map.cols() == 3);
  CHECK(map(1, 0) == 4.0);
  map(1, 2) = 60.0;
  CHECK(numbers[6] == 60.0);
  map *= 2.0;
  CHECK(numbers == std::vector<double>{2, 4, 6, 9, 8, 10, 120, 9});  // not what lies between
  const auto constant = interop::map(In<double>(view));
  CHECK(constant(1, 2) == 120.0);
  CHECK(constant.data() == numbers.data());
  static_assert(std::is_const_v<std::remove_pointer_t<decltype(constant.data())>>);
}

TEST_CASE("eigen: there and back", "[interop]") {
  interop::RowMajor<float> m = interop::RowMajor<float>::Constant(5, 7, 3.f);
  const Out<float> block = m.block(1, 2, 3, 4);
  CHECK(block.stride() == 7);
  CHECK(interop::map(block) == m.block(1, 2, 3, 4));
  CHECK(block.data() == &m(1, 2));
}

}  // namespace
}  // namespace xmoe
