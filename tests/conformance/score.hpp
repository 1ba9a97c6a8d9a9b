// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/score.
inline auto scores() {
  using namespace xmoe::score;
  return std::tuple(Entry{"softmax", Softmax{}}, Entry{"sigmoid", Sigmoid{}},
                    Entry{"identity", Identity{}});
}

}  // namespace conformance
