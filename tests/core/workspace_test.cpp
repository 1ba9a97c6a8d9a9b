// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/workspace.hpp>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

TEST_CASE("arrays are aligned and lie apart", "[core][workspace]") {
  Workspace w(1000);
  float* a = w.take<float>(3);
  double* b = w.take<double>(5);
  std::uint8_t* c = w.take<std::uint8_t>(1);
  for (const void* p : {static_cast<void*>(a), static_cast<void*>(b), static_cast<void*>(c)}) {
    CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
  }
  CHECK(reinterpret_cast<std::byte*>(b) - reinterpret_cast<std::byte*>(a) == 64);
  CHECK(reinterpret_cast<std::byte*>(c) - reinterpret_cast<std::byte*>(b) == 64);
  CHECK(w.peak() == 192);
}

TEST_CASE("measuring counts what taking needs, to the byte", "[core][workspace]") {
  const auto sequence = [](Workspace& w) {
    w.take<float>(100);
    {
      const Workspace::Scope scope(w);
      w.take<double>(50);
    }
    w.take<std::int32_t>(3);
  };
  Workspace measure = Workspace::measure();
  CHECK(measure.measuring());
  sequence(measure);
  CHECK(measure.peak() == 448 + 448);  // 400 and 400 bytes, rounded up to 64
  Workspace exact(measure.peak());
  CHECK_FALSE(exact.measuring());
  CHECK_NOTHROW(sequence(exact));
  Workspace small(measure.peak() - 1);
  CHECK_THROWS_AS(sequence(small), value_error);
}

TEST_CASE("a measuring workspace hands out nothing", "[core][workspace]") {
  Workspace measure = Workspace::measure();
  CHECK(measure.take<double>(index(1) << 40) == nullptr);
  CHECK(measure.peak() == index(8) << 40);
}

TEST_CASE("a workspace that is used up says how much it needs", "[core][workspace]") {
  Workspace w(128);
  w.take<float>(16);
  CHECK_THROWS_WITH(w.take<float>(17),
                    "xmoe::Workspace::take: 192 bytes needed, the workspace has 128");
  CHECK_NOTHROW(w.take<float>(16));  // the failed call took nothing
  Workspace none;
  CHECK_NOTHROW(none.take<float>(0));
  CHECK_THROWS_AS(none.take<float>(1), value_error);
}

TEST_CASE("a scope gives its arrays back", "[core][workspace]") {
  Workspace w(256);
  float* before = nullptr;
  {
    const Workspace::Scope scope(w);
    before = w.take<float>(16);
  }
  CHECK(w.take<float>(16) == before);
  w.clear();
  CHECK(w.take<float>(64) == before);
  CHECK(w.peak() == 256);
}

TEST_CASE("reserve grows and never shrinks", "[core][workspace]") {
  Workspace w(64);
  w.reserve(32);
  CHECK(w.capacity() == 64);
  w.reserve(1000);
  CHECK(w.capacity() == 1000);
  CHECK_NOTHROW(w.take<std::byte>(900));
}

}  // namespace
