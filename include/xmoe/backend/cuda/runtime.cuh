// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CUDA runtime, or, for tests, its emulation on the host.

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#elif defined(XMOE_CUDA_EMULATION)
#include <cuda_emulation/runtime.hpp>
#else
#error "xmoe/cuda.cuh is for .cu files: compile this file with nvcc"
#endif
