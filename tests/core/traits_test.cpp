// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/traits.hpp>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

struct Half {};
struct Everywhere {};
struct FloatsOnly {
  template <class Traits>
  static constexpr bool supports = std::same_as<typename Traits::scalar, float>;
};
/// Traits of somebody else's backend.
template <class S>
struct Elsewhere {
  using scalar = S;
};

TEST_CASE("routing is computed in float, or in double for double", "[core][traits]") {
  static_assert(std::same_as<Cpu<>::scalar, float>);
  static_assert(std::same_as<Cpu<float>::routing, float>);
  static_assert(std::same_as<Cpu<double>::routing, double>);
  static_assert(std::same_as<routing_scalar<Half>, float>);
  CHECK(std::same_as<Cpu<float>::space, host>);
}

TEST_CASE("a policy runs everywhere unless it says otherwise", "[core][traits]") {
  CHECK(supports<Everywhere, Cpu<float>>);
  CHECK(supports<Everywhere, Elsewhere<Half>>);
  CHECK(supports<FloatsOnly, Elsewhere<float>>);
  CHECK_FALSE(supports<FloatsOnly, Elsewhere<Half>>);
}

}  // namespace
