// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/gate.
inline auto gates() {
  using namespace xmoe::gate;
  using namespace xmoe::adjust;
  return std::tuple(Entry{"linear", Linear{}}, Entry{"linear", Linear{.bias = true}},
                    Entry{"linear", Linear{.bias = true, .jitter = 0.2f}},
                    Entry{"adjusted", Adjusted<Linear, Temper>{{}, {0.5f}}},
                    Entry{"adjusted", Adjusted<Adjusted<Linear, GaussNoise>, Temper>{{}, {3.f}}});
}

}  // namespace conformance
