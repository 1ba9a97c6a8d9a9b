// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/grouped_ffn.cuh>

#include "support/catch.hpp"

namespace {

using namespace xmoe::cuda;
namespace detail = xmoe::cuda::detail;

template <class Math, class S>
constexpr bool all_fit() {
  constexpr Along depth = Along::depth;
  using Large = Engine<Math, S, typename Tiles<Math, S>::large, depth, depth, true>;
  using Small = Engine<Math, S, typename Tiles<Math, S>::small, depth, depth, true>;
  return Large::shared_bytes <= Limits::shared && Small::shared_bytes <= Limits::shared &&
         grouped_ffn_fits<Math, S, false>(256) && grouped_ffn_fits<Math, S, true>(256);
}

}  // namespace

TEST_CASE("tiles: what does not fit is refused", "[cuda]") {
  STATIC_REQUIRE(detail::fits(256, 2, 64, 16, 32 * 1024));
  STATIC_REQUIRE_FALSE(detail::fits(2048, 1, 8, 8, 0));            // threads
  STATIC_REQUIRE_FALSE(detail::fits(100, 1, 8, 8, 0));             // no whole warps
  STATIC_REQUIRE_FALSE(detail::fits(128, 1, 240, 16, 0));          // registers of a thread
  STATIC_REQUIRE_FALSE(detail::fits(512, 2, 64, 16, 0));           // of all blocks
  STATIC_REQUIRE_FALSE(detail::fits(128, 1, 64, 16, 164 * 1024));  // shared memory of a block
  STATIC_REQUIRE_FALSE(detail::fits(128, 2, 64, 16, 82 * 1024));   // of two
}

TEST_CASE("tiles: all that are used fit", "[cuda]") {
  STATIC_REQUIRE(all_fit<Simt, float>());
  STATIC_REQUIRE(all_fit<Simt, double>());
  STATIC_REQUIRE(all_fit<TensorCore, float>());
  STATIC_REQUIRE(all_fit<TensorCore, xmoe::bfloat16>());
  STATIC_REQUIRE(all_fit<TensorCore, xmoe::half>());
}

TEST_CASE("tiles: arithmetic by scalar", "[cuda]") {
  STATIC_REQUIRE(std::is_same_v<default_math<float>::type, Simt>);
  STATIC_REQUIRE(std::is_same_v<default_math<double>::type, Simt>);
  STATIC_REQUIRE(std::is_same_v<default_math<xmoe::bfloat16>::type, TensorCore>);
  STATIC_REQUIRE(std::is_same_v<default_math<xmoe::half>::type, TensorCore>);
}
