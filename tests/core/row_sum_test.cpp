// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/row_sum.hpp>

#include "support/catch.hpp"

namespace xmoe {
namespace {

TEMPLATE_TEST_CASE("row sum: weighted rows meet at their token", "[core]", float, double) {
  using S = TestType;
  const std::vector<std::int32_t> token = {0, 2, 0};
  const std::vector<S> weight = {S(0.5), S(2), S(-1)};
  std::vector<S> out(3 * 5, S(-77));  // [3,4], stride 5
  const RowSum<S> sum{token.data(), weight.data(), MatrixView<S>(out.data(), 3, 4, 5)};
  sum.clear();
  const std::vector<S> row = {S(1), S(2), S(4), S(8)};
  sum.add(0, 0, 4, row.data());
  sum.add(1, 1, 2, row.data());
  sum.add(2, 2, 2, row.data());
  CHECK(out == std::vector<S>{S(.5), S(1), S(1), S(2), S(-77), S(0), S(0), S(0), S(0), S(-77), S(0),
                              S(2), S(4), S(0), S(-77)});
  CHECK(sum.factor(2) == S(-1));
  const RowSum<S> plain{token.data(), nullptr, sum.out};
  CHECK(plain.factor(2) == S(1));
  plain.add(2, 0, 1, row.data());
  CHECK(out[0] == S(1.5));
}

}  // namespace
}  // namespace xmoe
