// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "access.hpp"
#include "warp_collectives.hpp"

// The tensor core's instructions, in the fragment layouts that the PTX manual gives, and the
// asynchronous copies that feed them.

namespace emulation {
namespace detail {
EMULATION_TRUSTED_BEGIN

struct MatrixRow {
  std::uint16_t elements[8];
};
struct Registers {
  unsigned r[4];
};

/// Lane 8 m + i brought row i of matrix m. Lane l takes from each matrix two neighbours of row
/// l / 4, or, transposed, of column l / 4.
template <unsigned matrices, bool transposed>
void finish_ldmatrix(Warp& warp, unsigned arrived) {
  std::uint16_t m[4][8][8] = {};
  for (unsigned lane = 0; lane < 8 * matrices; ++lane) {
    const auto row = (arrived >> lane) & 1u ? warp.in<MatrixRow>(lane) : undefined<MatrixRow>();
    __builtin_memcpy(m[lane / 8][lane % 8], row.elements, sizeof(row));
  }
  each_lane(arrived, [&](unsigned lane) {
    Registers result{};
    for (unsigned i = 0; i < matrices; ++i) {
      const unsigned major = lane / 4, minor = lane % 4 * 2;
      const unsigned low = transposed ? m[i][minor][major] : m[i][major][minor];
      const unsigned high = transposed ? m[i][minor + 1][major] : m[i][major][minor + 1];
      result.r[i] = low | high << 16;
    }
    warp.out(lane, result);
  });
}

struct MmaOperands {
  unsigned a[4];
  unsigned b[2];
  float c[4];
};

inline float widen_bfloat16(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}
inline float widen_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {
    return __builtin_bit_cast(float, sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  }
  if (magnitude < 0x400u) {
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return __builtin_bit_cast(float, sign | ((magnitude << 13) + 0x38000000u));
}

using Row8 = float __attribute__((vector_size(32)));

/// d = a b + c with a [16, depth], b [depth, 8]; sums run in order of k, in float. The hardware
/// rounds otherwise in the last bits.
template <unsigned depth>
void multiply_tile(const float (&a)[16][depth], const Row8 (&b)[depth], Row8 (&c)[16]) {
  for (unsigned i = 0; i < 16; ++i) {
    Row8 sum = c[i];
    for (unsigned k = 0; k < depth; ++k) {
      sum += a[i][k] * b[k];
    }
    c[i] = sum;
  }
}

inline void check_whole_warp(const Warp& warp, unsigned arrived, const char* what) {
  if (arrived != 0xffffffffu) {
    throw fault(std::string(what) + " by warp " + std::to_string(warp.number) +
                " without all of its lanes");
  }
}

inline void gather_sums(const Warp& warp, Row8 (&c)[16]) {
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    const auto own = warp.in<MmaOperands>(lane);
    const unsigned row = lane / 4, column = lane % 4 * 2;
    c[row][column] = own.c[0];
    c[row][column + 1] = own.c[1];
    c[row + 8][column] = own.c[2];
    c[row + 8][column + 1] = own.c[3];
  }
}
struct Sums {
  float c[4];
};
inline void scatter_sums(Warp& warp, const Row8 (&c)[16]) {
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    const unsigned row = lane / 4, column = lane % 4 * 2;
    warp.out(lane, Sums{{c[row][column], c[row][column + 1], c[row + 8][column],
                         c[row + 8][column + 1]}});
  }
}

template <float (*widen)(std::uint16_t)>
void finish_mma16(Warp& warp, unsigned arrived) {
  check_whole_warp(warp, arrived, "mma.m16n8k16");
  float a[16][16];
  Row8 b[16], c[16];
  gather_sums(warp, c);
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    const auto own = warp.in<MmaOperands>(lane);
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    for (unsigned e = 0; e < 2; ++e) {
      const auto part = [&](unsigned reg) {
        return widen(static_cast<std::uint16_t>(reg >> (16 * e) & 0xffffu));
      };
      a[group][pair + e] = part(own.a[0]);
      a[group + 8][pair + e] = part(own.a[1]);
      a[group][pair + 8 + e] = part(own.a[2]);
      a[group + 8][pair + 8 + e] = part(own.a[3]);
      b[pair + e][group] = part(own.b[0]);
      b[pair + 8 + e][group] = part(own.b[1]);
    }
  }
  multiply_tile(a, b, c);
  scatter_sums(warp, c);
}

/// The lower 13 bits of an operand are not looked at.
inline float as_tf32(unsigned bits) { return __builtin_bit_cast(float, bits & 0xffffe000u); }

inline void finish_mma8(Warp& warp, unsigned arrived) {
  check_whole_warp(warp, arrived, "mma.m16n8k8");
  float a[16][8];
  Row8 b[8], c[16];
  gather_sums(warp, c);
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    const auto own = warp.in<MmaOperands>(lane);
    const unsigned group = lane / 4, k = lane % 4;
    a[group][k] = as_tf32(own.a[0]);
    a[group + 8][k] = as_tf32(own.a[1]);
    a[group][k + 4] = as_tf32(own.a[2]);
    a[group + 8][k + 4] = as_tf32(own.a[3]);
    b[k][group] = as_tf32(own.b[0]);
    b[k + 4][group] = as_tf32(own.b[1]);
  }
  multiply_tile(a, b, c);
  scatter_sums(warp, c);
}

inline void mma(const char* name, void (*finish)(Warp&, unsigned), float (&d)[4],
                const unsigned (&a)[4], const unsigned (&b)[2], const Place& place) {
  MmaOperands operands;
  __builtin_memcpy(operands.a, a, sizeof(a));
  __builtin_memcpy(operands.b, b, sizeof(b));
  __builtin_memcpy(operands.c, d, sizeof(d));
  const auto sums = collective<Sums>(0xffffffffu, name, finish, operands, place);
  __builtin_memcpy(d, sums.c, sizeof(d));
}

EMULATION_TRUSTED_END
}  // namespace detail

/// `row`: where the lane's row of eight 16-bit elements lies; of lanes beyond 8 * matrices: unused.
template <unsigned matrices, bool transposed>
void ldmatrix(unsigned (&registers)[matrices], const void* row, const char* file, unsigned line) {
  // Each lane reads the row that it names: so the sanitizers see who read what.
  auto own = detail::undefined<detail::MatrixRow>();
  if (detail::self().lane < 8 * matrices) {
    detail::access(row, 16, 16, Access::shared_load, file, line);
    own = *static_cast<const detail::MatrixRow*>(row);
  }
  const auto result = detail::collective<detail::Registers>(
      0xffffffffu, "ldmatrix", detail::finish_ldmatrix<matrices, transposed>, own, {file, line});
  for (unsigned i = 0; i < matrices; ++i) {
    registers[i] = result.r[i];
  }
}

inline void mma_bfloat16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                         const char* file, unsigned line) {
  detail::mma("mma.m16n8k16.bf16", detail::finish_mma16<detail::widen_bfloat16>, d, a, b,
              {file, line});
}
inline void mma_half(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const char* file, unsigned line) {
  detail::mma("mma.m16n8k16.f16", detail::finish_mma16<detail::widen_half>, d, a, b, {file, line});
}
inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                     const char* file, unsigned line) {
  detail::mma("mma.m16n8k8.tf32", detail::finish_mma8, d, a, b, {file, line});
}

}  // namespace emulation
