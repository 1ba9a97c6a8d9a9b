// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/error.hpp>

#include <string>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEST_CASE("an error carries its formatted text", "[core][error]") {
  CHECK_THROWS_WITH((detail::fail<shape_error>("%s: %d rows, %td wanted", "f", 3, index(4))),
                    "f: 3 rows, 4 wanted");
}

TEST_CASE("all errors are one family, and each is told apart", "[core][error]") {
  CHECK_THROWS_AS(detail::fail<shape_error>("x"), shape_error);
  CHECK_THROWS_AS(detail::fail<value_error>("x"), value_error);
  CHECK_THROWS_AS(detail::fail<io_error>("x"), io_error);
  CHECK_THROWS_AS(detail::fail<value_error>("x"), error);
  CHECK_THROWS_AS(detail::fail<value_error>("x"), std::exception);
  static_assert(!std::is_base_of_v<shape_error, value_error>);
  static_assert(std::is_nothrow_copy_constructible_v<shape_error>);
}

TEST_CASE("a long text is cut, never overrun", "[core][error]") {
  const std::string text(2000, 'x');
  try {
    detail::fail<error>("%s", text.c_str());
  } catch (const error& e) {
    CHECK(std::string(e.what()) == text.substr(0, error::capacity - 1));
  }
}

TEST_CASE("internal checks exist where they are switched on", "[core][error]") {
  int evaluated = 0;
  const auto check = [&](bool condition) {
    XMOE_ASSERT((++evaluated, condition), "the reason");
    return condition;
  };
#if defined(XMOE_CHECKED)
  CHECK(check(true));
  CHECK(evaluated == 1);
  CHECK_THROWS_WITH(check(false), Catch::Matchers::Contains("the reason"));
#else
  CHECK_FALSE(check(false));
  CHECK(evaluated == 0);
#endif
}

}  // namespace
