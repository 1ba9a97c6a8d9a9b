// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/gate.
inline auto gates() {
  using namespace xmoe::gate;
  return std::tuple(Entry{"linear", Linear{}}, Entry{"linear", Linear{.bias = true}},
                    Entry{"linear", Linear{.bias = true, .jitter = 0.2f}});
}

}  // namespace conformance
