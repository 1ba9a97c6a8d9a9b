// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/buffer.hpp>

#include <algorithm>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEMPLATE_TEST_CASE("a buffer is aligned and zero", "[core][buffer]", float, double, std::uint8_t) {
  for (const xmoe::index n : {1, 3, 64, 1001}) {
    const Buffer<TestType> buffer(n);
    CHECK(buffer.size() == n);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment == 0);
    CHECK(std::all_of(buffer.begin(), buffer.end(), [](TestType x) { return x == TestType(0); }));
  }
}

TEST_CASE("an empty buffer owns nothing", "[core][buffer]") {
  Buffer<float> none;
  const Buffer<float> zero(0);
  CHECK(none.size() == 0);
  CHECK(zero.data() == nullptr);
  none.zero();
  const Buffer<float> copy = none;
  CHECK(copy.size() == 0);
}

TEST_CASE("a copied buffer has memory of its own", "[core][buffer]") {
  Buffer<int> a(3);
  a[0] = 1;
  a[2] = 3;
  Buffer<int> b = a;
  CHECK(b.data() != a.data());
  b[0] = 7;
  CHECK(a[0] == 1);
  CHECK(b[2] == 3);
  b = a;
  CHECK(b[0] == 1);
  Buffer<int>& self = b;
  b = self;
  CHECK(b[2] == 3);
}

TEST_CASE("a moved buffer takes its memory along", "[core][buffer]") {
  Buffer<int> a(3);
  a[1] = 5;
  const int* memory = a.data();
  Buffer<int> b = std::move(a);
  CHECK(b.data() == memory);
  CHECK(a.size() == 0);  // NOLINT(bugprone-use-after-move): a moved-from buffer is empty
  CHECK(a.data() == nullptr);
  Buffer<int> c(8);
  c = std::move(b);
  CHECK(c.data() == memory);
  CHECK(c.size() == 3);
  CHECK(c[1] == 5);
}

TEST_CASE("zero clears, views see the same memory", "[core][buffer]") {
  Buffer<float> a(5);
  a.view()[4] = 2.f;
  CHECK(a[4] == 2.f);
  a.zero();
  CHECK(a[4] == 0.f);
  const Buffer<float>& constant = a;
  CHECK(constant.view().size() == 5);
  CHECK(constant.view().data() == a.data());
}

TEST_CASE("a negative size is refused with its number", "[core][buffer]") {
  CHECK_THROWS_AS(Buffer<float>(-1), shape_error);
  CHECK_THROWS_WITH(Buffer<float>(-7), "xmoe::Buffer: -7 elements");
}

}  // namespace
