// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/vector.hpp>
#include <xmoe/core/panels.hpp>

#include <bit>

#if defined(__AVX512BF16__) || defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace xmoe::inline XMOE_ABI::cpu {

/// How products with weights stored as W are computed: what a packed number of the left side is,
/// how a register of the right side is loaded, and one step of multiply-adds.
///
///   Left      one step of one row on the left side
///   Operand   one step of `lanes` columns on the right side, ready to multiply
///   pack      `count` numbers of a row as ceil(count / per_step) steps
template <class W>
struct Arithmetic {
  using Sum = W;
  using Left = W;
  using Vector = typename Simd<W>::Vector;
  using Operand = Vector;

  [[gnu::always_inline]] static inline Operand load(const W* from) { return Simd<W>::load(from); }
  [[gnu::always_inline]] static inline Vector multiply_add(const Vector& sum, Left a,
                                                           const Operand& b) {
    return sum + a * b;
  }
  [[gnu::always_inline]] static inline void pack(Left* to, const Sum* from, index count) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(count) * sizeof(Sum));
  }
};

/// Weights are widened when they are loaded; the rest is float.
template <>
struct Arithmetic<half> : Arithmetic<float> {
  [[gnu::always_inline]] static inline Operand load(const half* from) {
#if XMOE_VECTOR_BYTES == 64
    __m256i bits;
    __builtin_memcpy(&bits, from, sizeof(bits));
    return reinterpret_cast<Operand>(_mm512_cvtph_ps(bits));
#elif XMOE_VECTOR_BYTES == 32
    __m128i bits;
    __builtin_memcpy(&bits, from, sizeof(bits));
    return reinterpret_cast<Operand>(_mm256_cvtph_ps(bits));
#else
    Operand result;
    for (std::size_t i = 0; i < Simd<float>::count; ++i) {
      result[i] = static_cast<float>(from[i]);
    }
    return result;
#endif
  }
};

/// Two products a step. With the processor's own instruction where the target has it, which takes
/// numbers below 2^-126 for zero; else as two float steps on the same rounded numbers.
template <>
struct Arithmetic<bfloat16> {
  typedef std::uint32_t Word __attribute__((vector_size(XMOE_VECTOR_BYTES)));
  using Sum = float;
  using Left = std::uint32_t;  ///< the earlier number in the lower half
  using Vector = Simd<float>::Vector;

#if defined(__AVX512BF16__) && XMOE_VECTOR_BYTES == 64
  using Operand = Vector;  ///< pairs

  [[gnu::always_inline]] static inline Operand load(const bfloat16* from) {
    Operand v;
    __builtin_memcpy(&v, from, sizeof(v));
    return v;
  }
  [[gnu::always_inline]] static inline Vector multiply_add(const Vector& sum, Left a,
                                                           const Operand& b) {
#if defined(__clang__)  // clang 16 crashes in its optimizer on the intrinsic in a loop
    const __m512i pair = _mm512_set1_epi32(static_cast<int>(a));
    Vector result = sum;
    asm("vdpbf16ps %2, %1, %0" : "+v"(result) : "v"(pair), "v"(b));
    return result;
#else
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(a)),
                                    (__m512bh)b);
#endif
  }
  [[gnu::always_inline]] static inline void pack(Left* to, const float* from, index count) {
    index i = 0;
    for (; i + 32 <= count; i += 32) {
      const auto pairs =
          _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
      __builtin_memcpy(to + i / 2, &pairs, sizeof(pairs));
    }
    pack_tail(to + i / 2, from + i, count - i);
  }
#else
  struct Operand {
    Vector low;
    Vector high;
  };

  [[gnu::always_inline]] static inline Operand load(const bfloat16* from) {
    Word pairs;
    __builtin_memcpy(&pairs, from, sizeof(pairs));
    return {(Vector)(pairs << 16), (Vector)(pairs & 0xffff0000u)};
  }
  [[gnu::always_inline]] static inline Vector multiply_add(const Vector& sum, Left a,
                                                           const Operand& b) {
    const Vector first = sum + std::bit_cast<float>(a << 16) * b.low;
    return first + std::bit_cast<float>(a & 0xffff0000u) * b.high;
  }
  [[gnu::always_inline]] static inline void pack(Left* to, const float* from, index count) {
    pack_tail(to, from, count);
  }
#endif

  static Left pair(float first, float second) {
    return std::uint32_t{bfloat16(first).bits} | std::uint32_t{bfloat16(second).bits} << 16;
  }
  /// to[i] = (first[i], second[i]).
  [[gnu::always_inline]] static inline void pair(Left* to, const float* first, const float* second,
                                                 index count) {
    constexpr index lanes = Simd<float>::lanes;
    index i = 0;
    for (; i + lanes <= count; i += lanes) {
      const Word low = rounded(first + i) >> 16;
      const Word high = rounded(second + i) & 0xffff0000u;
      const Word both = low | high;
      __builtin_memcpy(to + i, &both, sizeof(both));
    }
    for (; i < count; ++i) {
      to[i] = pair(first[i], second[i]);
    }
  }

 private:
  /// Like bfloat16(float), in the upper half.
  [[gnu::always_inline]] static inline Word rounded(const float* from) {
    Word b;
    __builtin_memcpy(&b, from, sizeof(b));
    const Word nearest = b + 0x7fffu + ((b >> 16) & 1u);
    const Word nan = (Word)((b & 0x7fffffffu) > 0x7f800000u);
    return (nearest & ~nan) | ((b | 0x00400000u) & nan);
  }
  static void pack_tail(Left* to, const float* from, index count) {
    for (index i = 0; i + 1 < count; i += 2) {
      to[i / 2] = pair(from[i], from[i + 1]);
    }
    if (count % 2 == 1) {
      to[count / 2] = pair(from[count - 1], 0.f);
    }
  }
};

}  // namespace xmoe::inline XMOE_ABI::cpu
