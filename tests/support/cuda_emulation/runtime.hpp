// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CUDA that kernels and host code see when they are compiled as plain C++: the built-in names
// of device code, and the runtime's functions. See engine.hpp for how a kernel is run.

#include "vector_types.hpp"
// clang-format off
#include "launch.hpp"
#include "warp_collectives.hpp"
#include "intrinsics.hpp"
#include "access.hpp"
#include "matrix.hpp"
#include "async_copy.hpp"
#include "runtime_api.hpp"
// clang-format on
