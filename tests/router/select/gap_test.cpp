// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/gap.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Choices;
using wave::Ids;
using xmoe::select::Gap;

TEST_CASE("gap: figures", "[router][select]") {
  const double distances[] = {.21379038, .01331625, .34490127, .04779224};
  for (index t = 0; t < 4; ++t) {
    const wave::Row p = wave::softmax(t);
    const Ids two = chosen_by(Gap{1.f}, p);
    REQUIRE(two.size() == 2);
    const double distance =
        p[static_cast<std::size_t>(two[0])] - p[static_cast<std::size_t>(two[1])];
    CHECK(std::abs(distance - distances[t]) < 1e-8);
  }
  CHECK(wave::choices(Gap{0.1f}, wave::softmax) == Choices{{1}, {0, 3}, {7}, {2, 6}});
  CHECK(wave::choices(Gap{0.3f}, wave::softmax) == Choices{{1, 2}, {0, 3}, {7}, {2, 6}});
}

TEMPLATE_TEST_CASE("gap: the ends", "[router][select]", float, double) {
  using R = TestType;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const R inf = std::numeric_limits<R>::infinity();
  CHECK(chosen_by<R>(Gap{0.25f}, {R(0.25), R(0.5), R(0.25)}) == Ids{1, 0});  // inclusive
  CHECK(chosen_by<R>(Gap{0.24f}, {R(0.25), R(0.5), R(0.25)}) == Ids{1});
  CHECK(chosen_by<R>(Gap{0.f}, {R(0.4), R(0.4), R(0.2)}) == Ids{0, 1});
  CHECK(chosen_by<R>(Gap{0.f}, {R(0.4), R(0.5), R(0.1)}) == Ids{1});
  CHECK(chosen_by<R>(Gap{1.f}, {0, 1, 0}) == Ids{1, 0});  // never three
  CHECK(chosen_by<R>(Gap{-1.f}, {1, 1}) == Ids{0});
  CHECK(chosen_by<R>(Gap{1.f}, {1}) == Ids{0});
  CHECK(chosen_by<R>(Gap{1.f}, {nan, 1}) == Ids{1});
  CHECK(chosen_by<R>(Gap{1.f}, {inf, inf}) == Ids{0});
  CHECK(chosen_by<R>(Gap{1.f}, {-inf, 1, -inf}) == Ids{1});
  CHECK(Gap{}.max_assignments(3, 8) == 6);
  CHECK(Gap{}.max_assignments(3, 1) == 3);
  CHECK(tests::message_of<value_error>([] {
          Gap{std::nanf("")}.check({1, 2, 1});
        }) == "xmoe::select::Gap: gap is nan, must be a number");
}

}  // namespace
}  // namespace xmoe
