// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "launch.hpp"

#include <atomic>
#include <cmath>
#include <cstring>

// CUDA's functions of one thread: bits, conversions, atomics, fences.

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}

#define EMULATION_CAST(name, to, from)    \
  inline to name(from x) {                \
    to result;                            \
    std::memcpy(&result, &x, sizeof(to)); \
    return result;                        \
  }
EMULATION_CAST(__float_as_int, int, float)
EMULATION_CAST(__float_as_uint, unsigned, float)
EMULATION_CAST(__int_as_float, float, int)
EMULATION_CAST(__uint_as_float, float, unsigned)
EMULATION_CAST(__double_as_longlong, long long, double)
EMULATION_CAST(__longlong_as_double, double, long long)
#undef EMULATION_CAST

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }

template <class T>
T __ldg(const T* pointer) {
  return *pointer;
}

/// Orders this thread's accesses before it with those after another thread's later fence.
inline void __threadfence() { emulation::detail::self().engine->fence(); }
inline void __threadfence_block() { emulation::detail::self().engine->fence(); }

// Atomics order nothing but themselves, as on the device.
namespace emulation::detail {

template <class T, class F>
T atomic_change(T* address, F f) {
  self();
  const std::atomic_ref<T> cell(*address);
  T old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, f(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace emulation::detail

#define EMULATION_ATOMICS(type)                                                                   \
  inline type atomicExch(type* address, type value) {                                             \
    return emulation::detail::atomic_change(address, [&](type) { return value; });                \
  }                                                                                               \
  inline type atomicMin(type* address, type value) {                                              \
    return emulation::detail::atomic_change(address,                                              \
                                            [&](type old) { return value < old ? value : old; }); \
  }                                                                                               \
  inline type atomicMax(type* address, type value) {                                              \
    return emulation::detail::atomic_change(address,                                              \
                                            [&](type old) { return old < value ? value : old; }); \
  }                                                                                               \
  inline type atomicAnd(type* address, type value) {                                              \
    return emulation::detail::atomic_change(address, [&](type old) { return old & value; });      \
  }                                                                                               \
  inline type atomicOr(type* address, type value) {                                               \
    return emulation::detail::atomic_change(address, [&](type old) { return old | value; });      \
  }                                                                                               \
  inline type atomicXor(type* address, type value) {                                              \
    return emulation::detail::atomic_change(address, [&](type old) { return old ^ value; });      \
  }                                                                                               \
  inline type atomicCAS(type* address, type expected, type value) {                               \
    return emulation::detail::atomic_change(                                                      \
        address, [&](type old) { return old == expected ? value : old; });                        \
  }
EMULATION_ATOMICS(int)
EMULATION_ATOMICS(unsigned)
EMULATION_ATOMICS(unsigned long long)
#undef EMULATION_ATOMICS

inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return emulation::detail::atomic_change(address, [&](unsigned old) { return old + value; });
}
inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return emulation::detail::atomic_change(address,
                                          [&](unsigned long long old) { return old + value; });
}
inline int atomicAdd(int* address, int value) {
  return emulation::detail::atomic_change(address, [&](int old) {
    return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value));
  });
}
inline float atomicAdd(float* address, float value) {
  return emulation::detail::atomic_change(address, [&](float old) { return old + value; });
}
inline double atomicAdd(double* address, double value) {
  return emulation::detail::atomic_change(address, [&](double old) { return old + value; });
}
inline unsigned atomicSub(unsigned* address, unsigned value) {
  return atomicAdd(address, 0 - value);
}
inline int atomicSub(int* address, int value) {
  return static_cast<int>(
      atomicSub(reinterpret_cast<unsigned*>(address), static_cast<unsigned>(value)));
}
