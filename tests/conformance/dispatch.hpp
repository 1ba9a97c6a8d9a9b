// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of dispatch.
inline auto dispatches() {
  using namespace xmoe::dispatch;
  using namespace xmoe::priority;
  return std::tuple(
      Entry{"dropless", Dropless{}}, Entry{"capacity", Capacity{.factor = 1.0, .minimum = 1}},
      Entry{"capacity", CapacityBy<RankThenToken>{.factor = 0.5, .minimum = 2}},
      Entry{"capacity", CapacityBy<Probability>{.limit = Limit::absolute, .absolute = 3}},
      Entry{"capacity", CapacityBy<xmoe::priority::Random>{.factor = 1.25, .minimum = 0}},
      Entry{"capacity", CapacityBy<xmoe::priority::BestTokenFirst>{.factor = 1.25, .minimum = 0}},
      Entry{"capacity", Capacity{.limit = Limit::absolute, .absolute = 0}},
      Entry{"capacity", Capacity{.limit = Limit::none}},
      Entry{"with_placeholder", WithPlaceholder<Dropless>{}},
      Entry{"with_placeholder", WithPlaceholder<Capacity>{{.factor = 1.0, .minimum = 1}}});
}

/// Priorities for which a token's number says nothing while scores differ.
template <class P>
inline constexpr bool blind_to_order = true;
template <>
inline constexpr bool blind_to_order<xmoe::dispatch::CapacityBy<xmoe::priority::RankThenToken>> =
    false;
template <>
inline constexpr bool blind_to_order<xmoe::dispatch::CapacityBy<xmoe::priority::Random>> = false;

}  // namespace conformance
