// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace xmoe::inline XMOE_ABI::cpu {

/// One register of the target, by the vector extensions of GCC and Clang.
template <class S>
struct Simd {
  static constexpr index lanes = XMOE_VECTOR_BYTES / static_cast<index>(sizeof(S));
  static constexpr std::size_t count = XMOE_VECTOR_BYTES / sizeof(S);  ///< lanes, as an array size
  typedef S Vector __attribute__((vector_size(XMOE_VECTOR_BYTES)));

  /// Any alignment.
  [[gnu::always_inline]] static inline Vector load(const S* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof(v));
    return v;
  }
  [[gnu::always_inline]] static inline void store(S* to, const Vector& v) {
    __builtin_memcpy(to, &v, sizeof(v));
  }

  /// Past the caches where the target can, `to` aligned like a vector; else like store. Call
  /// fence() before another thread is told about it.
  [[gnu::always_inline]] static inline void stream(S* to, const Vector& v) {
#if XMOE_VECTOR_BYTES == 64
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)v);
#elif XMOE_VECTOR_BYTES == 32
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)v);
#else
    store(to, v);
#endif
  }
  static inline void fence() {
#if XMOE_VECTOR_BYTES >= 32
    _mm_sfence();
#endif
  }

  /// Transposes `lanes` vectors of `lanes` numbers in registers.
  [[gnu::always_inline]] static inline void transpose(Vector (&v)[count]) {
    if constexpr (sizeof(S) == 4) {
      // The last two steps inside of 16 bytes, in the form that costs one instruction each.
#pragma GCC unroll 16
      for (index i = 0; i < lanes; i += 2) {
        const Vector a = v[i];
        v[i] = interleave<0>(a, v[i + 1], Lanes());
        v[i + 1] = interleave<2>(a, v[i + 1], Lanes());
      }
      exchange<2>(v);
#pragma GCC unroll 16
      for (index i = 0; i < lanes; i += 4) {
        const Vector a = v[i + 1];
        v[i + 1] = v[i + 2];
        v[i + 2] = a;
      }
    } else {
      exchange<1>(v);
    }
    if constexpr (16 / sizeof(S) < count) {
      outer<16 / static_cast<index>(sizeof(S))>(v);
    }
  }

 private:
  using Lanes = std::make_integer_sequence<int, static_cast<int>(lanes)>;

  template <index half>
  [[gnu::always_inline]] static inline void outer(Vector (&v)[count]) {
    exchange<half>(v);
    if constexpr (2 * half < lanes) {
      outer<2 * half>(v);
    }
  }
  // Swaps the blocks off the diagonal, of size half x half.
  template <index half>
  [[gnu::always_inline]] static inline void exchange(Vector (&v)[count]) {
#pragma GCC unroll 16
    for (index i = 0; i < lanes; ++i) {
      if ((i & half) == 0) {
        const Vector a = v[i];
        v[i] = low<half>(a, v[i + half], Lanes());
        v[i + half] = high<half>(a, v[i + half], Lanes());
      }
    }
  }
  // In each 16 bytes: a[first], b[first], a[first+1], b[first+1].
  template <int first, int... i>
  [[gnu::always_inline]] static inline Vector interleave(const Vector& a, const Vector& b,
                                                         std::integer_sequence<int, i...>) {
    constexpr int n = static_cast<int>(lanes);
    return __builtin_shufflevector(a, b, ((i & 1) * n + (i / 4) * 4 + first + (i % 4) / 2)...);
  }
  template <index half, int... i>
  [[gnu::always_inline]] static inline Vector low(const Vector& a, const Vector& b,
                                                  std::integer_sequence<int, i...>) {
    constexpr int h = static_cast<int>(half);
    constexpr int n = static_cast<int>(lanes);
    return __builtin_shufflevector(a, b, ((i & h) != 0 ? n + i - h : i)...);
  }
  template <index half, int... i>
  [[gnu::always_inline]] static inline Vector high(const Vector& a, const Vector& b,
                                                   std::integer_sequence<int, i...>) {
    constexpr int h = static_cast<int>(half);
    constexpr int n = static_cast<int>(lanes);
    return __builtin_shufflevector(a, b, ((i & h) != 0 ? n + i : i + h)...);
  }
};

/// Writes the transpose of a block: to[c * to_stride + r] = from[r][c], r < rows, c < cols,
/// zeros for rows <= r < round_up(rows, lanes). `from(r)` gives the start of row r.
///
///   to   needs room for round_up(rows, lanes) numbers in each of its rows
template <class S, class From>
inline void transpose_into(S* to, index to_stride, index rows, index cols, const From& from) {
  constexpr index lanes = Simd<S>::lanes;
  using Vector = typename Simd<S>::Vector;
  for (index r0 = 0; r0 < rows; r0 += lanes) {
    const index height = rows - r0 < lanes ? rows - r0 : lanes;
    const S* row[Simd<S>::count];
    for (index r = 0; r < lanes; ++r) {
      row[r] = r < height ? from(r0 + r) : nullptr;
    }
    index c = 0;
    for (; c + lanes <= cols; c += lanes) {
      Vector v[Simd<S>::count];
      if (height == lanes) {
#pragma GCC unroll 16
        for (index r = 0; r < lanes; ++r) {
          v[r] = Simd<S>::load(row[r] + c);
        }
      } else {
#pragma GCC unroll 16
        for (index r = 0; r < lanes; ++r) {
          v[r] = r < height ? Simd<S>::load(row[r] + c) : Vector{};
        }
      }
      Simd<S>::transpose(v);
#pragma GCC unroll 16
      for (index r = 0; r < lanes; ++r) {
        Simd<S>::store(to + (c + r) * to_stride + r0, v[r]);
      }
    }
    for (; c < cols; ++c) {
      for (index r = 0; r < lanes; ++r) {
        to[c * to_stride + r0 + r] = r < height ? row[r][c] : S(0);
      }
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::cpu
