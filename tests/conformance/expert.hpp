// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of expert: every bank with every activation at least once, with and without biases.
inline auto plain_experts() {
  using namespace xmoe::expert;
  namespace act = xmoe::activation;
  return std::tuple(Entry{"ffn", Ffn<act::Gelu>{}}, Entry{"ffn", Ffn<act::Relu>{.bias = false}});
}
/// The remaining activations that need no gate.
inline auto other_experts() {
  using namespace xmoe::expert;
  namespace act = xmoe::activation;
  return std::tuple(Entry{"ffn", Ffn<act::SquaredRelu>{}}, Entry{"ffn", Ffn<act::Identity>{}});
}
inline auto gated_experts() {
  using namespace xmoe::expert;
  namespace act = xmoe::activation;
  return std::tuple(Entry{"glu", Glu<act::Silu>{}},
                    Entry{"glu", Glu<act::GeluErf, layout::Interleaved>{.bias = true}});
}
inline auto experts() { return std::tuple_cat(plain_experts(), other_experts(), gated_experts()); }

}  // namespace conformance
