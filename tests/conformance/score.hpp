// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of router/score.
inline auto scores() {
  using namespace xmoe::score;
  return std::tuple(Entry{"softmax", Softmax{}}, Entry{"sigmoid", Sigmoid{}},
                    Entry{"identity", Identity{}}, Entry{"relu", Relu{}},
                    Entry{"relu_norm", ReluNorm{}}, Entry{"relu_norm", ReluNorm{0.5f}},
                    Entry{"sqrt_softplus", SqrtSoftplus{}}, Entry{"sparsemax", Sparsemax{}},
                    Entry{"entmax15", Entmax15{}}, Entry{"blend", Blend{}},
                    Entry{"blend", Blend{0.f}}, Entry{"blend", Blend{1.f}});
}

}  // namespace conformance
