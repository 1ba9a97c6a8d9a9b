// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/config.hpp>

#include <string>
#include <typeinfo>

#include "support/catch.hpp"

namespace {

#define XMOE_TEST_TEXT2(x) #x
#define XMOE_TEST_TEXT(x) XMOE_TEST_TEXT2(x)
const std::string abi = XMOE_TEST_TEXT(XMOE_ABI);

}  // namespace

namespace xmoe::inline XMOE_ABI {
struct named_by_the_test {};
}  // namespace xmoe::inline XMOE_ABI

TEST_CASE("sizes are signed and have 64 bits", "[core][config]") {
  static_assert(sizeof(xmoe::index) == 8);
  static_assert(xmoe::index(-1) < 0);
  CHECK(sizeof(xmoe::index) == 8);
}

TEST_CASE("the inline namespace names what changes code", "[core][config]") {
  INFO(abi);
  CHECK(abi.rfind("v0_", 0) == 0);
#if defined(XMOE_CHECKED)
  CHECK(abi.find("_checked") != std::string::npos);
#else
  CHECK(abi.find("_checked") == std::string::npos);
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
  CHECK(abi.find("_avx512") != std::string::npos);
  CHECK(XMOE_VECTOR_BYTES == 64);
#elif defined(__AVX2__) && defined(__FMA__)
  CHECK(abi.find("_avx2") != std::string::npos);
  CHECK(XMOE_VECTOR_BYTES == 32);
#else
  CHECK(XMOE_VECTOR_BYTES == 16);
#endif
  // and it is part of every symbol
  CHECK(std::string(typeid(xmoe::named_by_the_test).name()).find(abi) != std::string::npos);
}
