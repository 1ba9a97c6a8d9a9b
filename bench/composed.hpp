// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "expert_loop.hpp"

#include <bit>

namespace xmoe_bench {

/// Rounded to the nearest bfloat16, ties to even. For finite numbers.
inline std::uint16_t to_bf16(float number) {
  const auto bits = std::bit_cast<std::uint32_t>(number);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// Rows of x for an expert's tokens, `stride` numbers apart; with T = uint16 as bfloat16.
template <class Jobs, class T>
void gather(const Problem& problem, const Jobs& jobs, T* to, index stride) {
  const index width = problem.shape.model_dim;
  for (const auto& job : jobs) {
    const float* const from = problem.x.data() + job.token * width;
    for (index d = 0; d < width; ++d) {
      if constexpr (sizeof(T) == 2) {
        to[d] = to_bf16(from[d]);
      } else {
        to[d] = from[d];
      }
    }
    to += stride;
  }
}

/// sums[token] += weight * row, for rows of `width` numbers that lie `stride` apart.
template <class Jobs>
void scatter(const Jobs& jobs, const float* rows, index width, index stride, float* sums) {
  for (const auto& job : jobs) {
    float* const to = sums + job.token * width;
    for (index d = 0; d < width; ++d) {
      to[d] += job.weight * rows[d];
    }
    rows += stride;
  }
}

}  // namespace xmoe_bench
