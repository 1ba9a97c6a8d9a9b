// SPDX-License-Identifier: Apache-2.0
#pragma once

// CUDA's built-in vector types with CUDA's sizes and alignments, under CUDA's names.

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define EMULATION_VECTOR_TYPES(name, scalar, align2, align4)              \
  struct alignas(align2) name##2 {                                        \
    scalar x, y;                                                          \
  };                                                                      \
  struct alignas(align4) name##4 {                                        \
    scalar x, y, z, w;                                                    \
  };                                                                      \
  constexpr name##2 make_##name##2(scalar x, scalar y) { return {x, y}; } \
  constexpr name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

EMULATION_VECTOR_TYPES(float, float, 8, 16)
EMULATION_VECTOR_TYPES(double, double, 16, 16)
EMULATION_VECTOR_TYPES(int, int, 8, 16)
EMULATION_VECTOR_TYPES(uint, unsigned, 8, 16)
EMULATION_VECTOR_TYPES(short, short, 4, 8)
EMULATION_VECTOR_TYPES(ushort, unsigned short, 4, 8)
EMULATION_VECTOR_TYPES(char, signed char, 2, 4)
EMULATION_VECTOR_TYPES(uchar, unsigned char, 2, 4)
EMULATION_VECTOR_TYPES(longlong, long long, 16, 16)
EMULATION_VECTOR_TYPES(ulonglong, unsigned long long, 16, 16)
#undef EMULATION_VECTOR_TYPES
