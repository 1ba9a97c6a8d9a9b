// SPDX-License-Identifier: Apache-2.0
#include "eigen_loop.hpp"

namespace xmoe_bench {

std::unique_ptr<Side> make_eigen(const Bank& bank, index threads, const GradientMemory& gradients) {
  return std::make_unique<EigenLoop>(bank, threads, gradients);
}

}  // namespace xmoe_bench
