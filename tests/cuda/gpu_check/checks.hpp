// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "call_checks.hpp"

// The list: once for the real runtime (wide.cu, narrow.cu) and for the emulation
// (../gpu_check_test.cpp).
namespace gpu_check {

template <class Kind, class S>
void append_oracle_checks(Checks& list, const std::string& scalar) {
  const std::string name = scalar + ": " + Kind::name;
  list.push_back({name + " against the oracle", check_shapes<Kind, S>});
  list.push_back({name + ", all tokens to the same experts", check_together<Kind, S>});
#if defined(__CUDACC__)
  list.push_back({name + ", captured in a graph", check_graph<Kind, S>});
#endif
}

template <class S>
void append_checks(Checks& list, const std::string& scalar) {
  append_oracle_checks<Xmoe, S>(list, scalar);
  append_oracle_checks<SwiGlu, S>(list, scalar);
  append_oracle_checks<SigmoidBiased, S>(list, scalar);
  list.push_back({scalar + ": losses on the routing", check_losses<S>});
  list.push_back({scalar + ": the same bits in every run and for any batch mates", check_bits<S>});
  list.push_back({scalar + ": summary, and a NaN is reported", check_reports<S>});
  list.push_back({scalar + ": errors, and the layer after them", check_errors<S>});
  list.push_back({scalar + ": two steps of AdamW and Sgd", check_optimizers<S>});
}

}  // namespace gpu_check
