// SPDX-License-Identifier: Apache-2.0
#include "eigen_loop.hpp"

namespace xmoe_bench {

std::unique_ptr<Side> make_eigen(const Problem& problem, index threads, GradientMemory gradients) {
  return std::make_unique<EigenLoop>(problem, threads, gradients);
}

}  // namespace xmoe_bench
