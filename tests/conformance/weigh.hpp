// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/weigh.
inline auto weighs() {
  using namespace xmoe::weigh;
  return std::tuple(Entry{"raw", Raw{}}, Entry{"raw", Raw{2.5f}}, Entry{"normalized", Normalized{}},
                    Entry{"normalized", Normalized{2.5f}}, Entry{"softmax_picked", SoftmaxPicked{}},
                    Entry{"softmax_picked", SoftmaxPicked{2.5f}}, Entry{"unit", Unit{}},
                    Entry{"unit", Unit{2.5f}}, Entry{"equal", Equal{}}, Entry{"equal", Equal{2.5f}},
                    Entry{"normalized_by", NormalizedBy{}},
                    Entry{"normalized_by", NormalizedBy{.p = 1.f, .scale = 2.5f}},
                    Entry{"normalized_by", NormalizedBy{.p = 3.5f, .scale = 2.5f}});
}

}  // namespace conformance
