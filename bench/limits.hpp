// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/vector.hpp>
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/buffer.hpp>

#include <chrono>
#if XMOE_VECTOR_BYTES >= 32
#include <immintrin.h>
#endif

namespace xmoe_bench {

using xmoe::index;

/// Seconds that `body` takes.
template <class F>
double seconds(F&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// What the machine can do at most, measured: multiply-adds that need no memory, and moving numbers
/// that are in no cache.
class Limits {
 public:
  explicit Limits(index threads) : workers_(threads), result_(64 * threads), start_(64) {
    for (index i = 0; i < start_.size(); ++i) {
      start_[i] = 1.f / static_cast<float>(i + 1);
    }
  }

  index threads() const { return workers_.threads(); }

  /// Single precision, a multiply-add counts two.
  double gflops() {
    return rate(Simd::lanes * 2,
                [](Vector& sum, const Vector& a, const Vector& b) { sum += a * b; });
  }
  /// Products of bfloat16, summed in single precision: with the processor's own instruction where
  /// this is compiled for it, else what single precision gives.
  double bf16_gflops() {
#if defined(__AVX512BF16__) && XMOE_VECTOR_BYTES == 64
    return rate(Simd::lanes * 4, [](Vector& sum, const Vector& a, const Vector& b) {
      sum = (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
    });
#else
    return gflops();
#endif
  }

  double read_gbytes() {
    return moved(4, [&](index begin, index worker) {
      Vector sum[8] = {};
      const float* const from = memory().data() + begin;
      for (index i = 0; i < stretch; i += 8 * Simd::lanes) {
#pragma GCC unroll 8
        for (int c = 0; c < 8; ++c) {
          sum[c] += Simd::load(from + i + c * Simd::lanes);
        }
      }
      keep(worker, sum);
    });
  }
  /// Past the caches, where the target can.
  double write_gbytes() {
    return moved(4, [&](index begin, index) {
      const Vector v = Simd::load(start_.data());
      for (index i = 0; i < stretch; i += Simd::lanes) {
        stream(memory().data() + begin + i, v);
      }
    });
  }
  /// Read and written bytes together; from the first half of the memory to the second.
  double copy_gbytes() {
    return moved(8, [&](index begin, index) {
      const index half = memory().size() / 2;
      const float* const from = memory().data() + begin % half;
      for (index i = 0; i < stretch; i += Simd::lanes) {
        stream(memory().data() + half + begin % half + i, Simd::load(from + i));
      }
    });
  }

 private:
  using Simd = xmoe::cpu::Simd<float>;
  using Vector = Simd::Vector;
  static constexpr int chains = XMOE_VECTOR_BYTES == 64 ? 24 : 12;
  static constexpr index stretch = 1 << 16;  // 256 KiB

  template <class Step>
  double rate(index flops, const Step& step) {
    constexpr index steps = 40'000;
    const index items = 100 * workers_.threads();  // small: a thread may be held up
    const double time = seconds([&] {
      workers_.parallel(items, [&](index item, index worker) {
        Vector sum[chains];  // different ones, or the compiler would compute one
        for (int c = 0; c < chains; ++c) {
          sum[c] = Simd::load(start_.data() + c);
        }
        const Vector a = Simd::load(start_.data() + 32) + static_cast<float>(item);
        const Vector b = Simd::load(start_.data() + 48);
        for (index i = 0; i < steps; ++i) {
#pragma GCC unroll 24
          for (int c = 0; c < chains; ++c) {
            step(sum[c], a, b);
          }
        }
        keep(worker, sum);
      });
    });
    return static_cast<double>(items * steps * chains * flops) / time * 1e-9;
  }
  template <class Body>
  double moved(index bytes, const Body& body) {
    const index stretches = memory().size() / stretch;  // 512 MiB
    const double time = seconds([&] {
      workers_.parallel(stretches, [&](index item, index worker) { body(item * stretch, worker); });
    });
    return static_cast<double>(stretches * stretch * bytes) / time * 1e-9;
  }
  static void stream(float* to, const Vector& v) {
#if XMOE_VECTOR_BYTES == 64
    _mm512_stream_ps(to, (__m512)v);
#elif XMOE_VECTOR_BYTES == 32
    _mm256_stream_ps(to, (__m256)v);
#else
    Simd::store(to, v);
#endif
  }
  /// Many times the caches. One for the whole program.
  static xmoe::Buffer<float>& memory() {
    static xmoe::Buffer<float> numbers(index{1} << 27);
    return numbers;
  }

  /// So that the sums are not for nothing.
  template <std::size_t n>
  void keep(index place, const Vector (&sum)[n]) {
    Vector total{};
    for (const Vector& v : sum) {
      total += v;
    }
    Simd::store(result_.data() + 64 * place, total);
  }

  xmoe::cpu::Workers workers_;
  xmoe::Buffer<float> result_;
  xmoe::Buffer<float> start_;
};

}  // namespace xmoe_bench
