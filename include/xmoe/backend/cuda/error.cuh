// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/runtime.cuh>
#include <xmoe/core/error.hpp>

namespace xmoe::inline XMOE_ABI {

/// What a call of the CUDA runtime failed with. The text has the call, CUDA's name and words.
class cuda_error : public error {
 public:
  int code = 0;  ///< a cudaError_t
};

namespace cuda {

/// Throws cuda_error unless the status is a success. `what`: the call, for the text.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) {
    return;
  }
  static_cast<void>(cudaGetLastError());  // it is said now, and not to be found by the next call
  cuda_error problem;
  problem.code = static_cast<int>(status);
  std::snprintf(problem.text_, error::capacity, "%s: %s (%s)", what, cudaGetErrorName(status),
                cudaGetErrorString(status));
#if XMOE_EXCEPTIONS
  throw problem;
#else
  std::fprintf(stderr, "%s\n", problem.text_);
  std::abort();
#endif
}

}  // namespace cuda

}  // namespace xmoe::inline XMOE_ABI
