// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/gate.
inline auto gates() {
  using namespace xmoe::gate;
  using namespace xmoe::adjust;
  return std::tuple(
      Entry{"linear", Linear{}}, Entry{"linear", Linear{.bias = true}},
      Entry{"linear", Linear{.bias = true, .jitter = 0.2f}}, Entry{"cosine", Cosine{}},
      Entry{"cosine", Cosine{.learn_scale = true, .scale = 2.f}},
      Entry{"cosine", Cosine{.normalize_query = false}},
      Entry{"projected", Projected<Linear>{{}, 5}}, Entry{"projected", Projected<Cosine>{{}, 5}},
      Entry{"projected", Projected<Linear, xmoe::activation::Gelu>{{.bias = true}, 5, true}},
      Entry{"noisy", Noisy<Linear>{}}, Entry{"adjusted", Adjusted<Linear, Temper>{{}, {0.5f}}},
      Entry{"adjusted", Adjusted<Adjusted<Linear, GaussNoise>, Temper>{{}, {3.f}}});
}

}  // namespace conformance
