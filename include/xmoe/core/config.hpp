// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#if __cplusplus < 202002L
#error "xmoe needs C++20: -std=c++20, for nvcc too"
#endif

// The macros of the library, all of them. Users may define XMOE_CHECKED; the rest is ours.

#if defined(XMOE_CHECKED)
#define XMOE_DETAIL_CHECKS _checked
#else
#define XMOE_DETAIL_CHECKS
#endif

// The instruction set that this translation unit is compiled for. It is part of the namespace, so
// that objects compiled with different -march never share an inline function by accident.
#if defined(__FAST_MATH__)
#define XMOE_DETAIL_MATH _fastmath
#else
#define XMOE_DETAIL_MATH
#endif
// nvcc's device pass knows nothing of the host's instructions: one name for both passes.
#if defined(__CUDACC__)
#define XMOE_DETAIL_TARGET _cuda
#define XMOE_VECTOR_BYTES 16
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
#if defined(__AVX512BF16__)
#define XMOE_DETAIL_TARGET _avx512bf16
#else
#define XMOE_DETAIL_TARGET _avx512
#endif
#define XMOE_VECTOR_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define XMOE_DETAIL_TARGET _avx2
#define XMOE_VECTOR_BYTES 32
#elif defined(__ARM_NEON)
#define XMOE_DETAIL_TARGET _neon
#define XMOE_VECTOR_BYTES 16
#else
#define XMOE_DETAIL_TARGET _generic
#define XMOE_VECTOR_BYTES 16
#endif

#define XMOE_DETAIL_JOIN2(a, b, c, d) a##b##c##d
#define XMOE_DETAIL_JOIN(a, b, c, d) XMOE_DETAIL_JOIN2(a, b, c, d)

/// The inline namespace of everything: version, target, switches that change generated code.
#define XMOE_ABI XMOE_DETAIL_JOIN(v0, XMOE_DETAIL_TARGET, XMOE_DETAIL_MATH, XMOE_DETAIL_CHECKS)

#if defined(__CUDACC__)
#define XMOE_HD __host__ __device__
#else
#define XMOE_HD
#endif

#if defined(__cpp_exceptions)
#define XMOE_EXCEPTIONS 1
#else
#define XMOE_EXCEPTIONS 0
#endif

namespace xmoe::inline XMOE_ABI {

/// All sizes, offsets and loop variables: signed, 64 bit. Outside of this namespace write
/// `xmoe::index`, also after `using namespace xmoe`: POSIX declares a function `::index`.
using index = std::ptrdiff_t;
static_assert(sizeof(index) == 8, "xmoe needs a 64-bit target: offsets go beyond 2^31");

}  // namespace xmoe::inline XMOE_ABI
