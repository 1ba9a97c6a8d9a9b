// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/platform.cuh>
#include <xmoe/core/narrow.hpp>

#include <concepts>

// Every PTX instruction of the library, each behind a function: assembler under nvcc, the same
// effect in the emulation. Layouts of fragments are those of the PTX manual: of lane l,
// g = l / 4 and t = l % 4.

#if defined(__CUDACC__)
#define XMOE_DETAIL_SITE
#else
#define XMOE_DETAIL_SITE , file, line
#endif

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// The 32-bit address by which PTX knows shared memory.
#if defined(__CUDACC__)
XMOE_DEVICE inline unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
#endif

}  // namespace detail

/// Four 8 x 8 matrices of 2-byte elements from shared memory, by the whole warp. Lane 8 m + i gives
/// the address of row i of matrix m, aligned to 16 bytes. r[m] of a lane: elements 2 t and 2 t + 1
/// of row g of matrix m.
XMOE_DEVICE inline void ldmatrix_x4(unsigned (&r)[4], const void* row XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(row))
               : "memory");
#else
  ::emulation::ldmatrix<4, false>(r, row XMOE_DETAIL_SITE);
#endif
}
/// Two matrices; the addresses of lanes 16 and up are not looked at.
XMOE_DEVICE inline void ldmatrix_x2(unsigned (&r)[2], const void* row XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(row))
               : "memory");
#else
  ::emulation::ldmatrix<2, false>(r, row XMOE_DETAIL_SITE);
#endif
}
/// As ldmatrix_x4, each matrix transposed: elements 2 t and 2 t + 1 of column g.
XMOE_DEVICE inline void ldmatrix_x4_trans(unsigned (&r)[4],
                                          const void* row XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(detail::shared_address(row))
               : "memory");
#else
  ::emulation::ldmatrix<4, true>(r, row XMOE_DETAIL_SITE);
#endif
}
/// As ldmatrix_x2, each matrix transposed.
XMOE_DEVICE inline void ldmatrix_x2_trans(unsigned (&r)[2],
                                          const void* row XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(detail::shared_address(row))
               : "memory");
#else
  ::emulation::ldmatrix<2, true>(r, row XMOE_DETAIL_SITE);
#endif
}

/// d [16,8] += a [16,16] b [16,8], by the whole warp; elements of type S in pairs, sums in float.
///   d[0], d[1]  row g, columns 2 t and 2 t + 1;    d[2], d[3]  the same of row g + 8
///   a[0]  row g, columns 2 t, 2 t + 1;  a[1]  of row g + 8;  a[2], a[3]  8 columns to the right
///   b[0]  rows 2 t, 2 t + 1 of column g;  b[1]  8 rows below
template <NarrowWeight S>
XMOE_DEVICE void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4],
                              const unsigned (&b)[2] XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  if constexpr (std::same_as<S, bfloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  if constexpr (std::same_as<S, bfloat16>) {
    ::emulation::mma_bfloat16(d, a, b XMOE_DETAIL_SITE);
  } else {
    ::emulation::mma_half(d, a, b XMOE_DETAIL_SITE);
  }
#endif
}

/// d [16,8] += a [16,8] b [8,8] in tf32, by the whole warp; d as above.
///   a[0]  row g, column t;  a[1]  of row g + 8;  a[2], a[3]  4 columns to the right
///   b[0]  row t of column g;  b[1]  4 rows below
XMOE_DEVICE inline void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2] XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  ::emulation::mma_tf32(d, a, b XMOE_DETAIL_SITE);
#endif
}

/// The bits of x rounded to 11 bits of precision, ties away from zero, as mma_m16n8k8_tf32 wants
/// its operands. NaN stays NaN.
XMOE_DEVICE inline unsigned to_tf32(float x) {
#if defined(__CUDACC__)
  unsigned result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
  return result;
#else
  const auto bits = __builtin_bit_cast(unsigned, x);
  return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffffffu : (bits + 0x1000u) & 0xffffe000u;
#endif
}

/// Begins a copy of 16 bytes from global to shared memory, both aligned to 16; only the first
/// `valid` are read, the others become zero. With valid = 0 any aligned address may be given.
/// The copy has arrived once this thread has waited for its group; for others after a barrier.
XMOE_DEVICE inline void cp_async_16(void* shared, const void* global,
                                    int valid = 16 XMOE_DETAIL_SITE_PARAMETER) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(valid)
      : "memory");
#else
  ::emulation::cp_async_16(shared, global, static_cast<unsigned>(valid) XMOE_DETAIL_SITE);
#endif
}
/// Makes one group of this thread's copies since the last commit; it may be empty.
XMOE_DEVICE inline void cp_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  ::emulation::cp_async_commit();
#endif
}
/// Waits until at most the last `pending` groups of this thread are still under way.
template <int pending>
XMOE_DEVICE void cp_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
  ::emulation::cp_async_wait(pending);
#endif
}

}  // namespace xmoe::inline XMOE_ABI::cuda

#undef XMOE_DETAIL_SITE
