// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/bits.hpp>

#include <limits>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEMPLATE_TEST_CASE("what is not finite is told from the bits", "[core][bits]", float, double) {
  using S = TestType;
  using limits = std::numeric_limits<S>;
  const S nan = limits::quiet_NaN();
  const S infinity = limits::infinity();

  for (const S x : {S(0), S(-0.0), S(1), S(-1), limits::max(), limits::lowest(), limits::min(),
                    limits::denorm_min(), -limits::denorm_min()}) {
    CHECK(is_finite(x));
    CHECK_FALSE(is_nan(x));
    CHECK_FALSE(is_nan_or_positive_infinity(x));
  }
  for (const S x : {nan, -nan, limits::signaling_NaN()}) {
    CHECK_FALSE(is_finite(x));
    CHECK(is_nan(x));
    CHECK(is_nan_or_positive_infinity(x));
  }
  CHECK_FALSE(is_finite(infinity));
  CHECK_FALSE(is_finite(-infinity));
  CHECK_FALSE(is_nan(infinity));
  CHECK_FALSE(is_nan(-infinity));
  CHECK(is_nan_or_positive_infinity(infinity));
  CHECK_FALSE(is_nan_or_positive_infinity(-infinity));
}

}  // namespace
