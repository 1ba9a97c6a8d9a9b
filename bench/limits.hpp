// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/vector.hpp>
#include <xmoe/backend/cpu/workers.hpp>
#include <xmoe/core/buffer.hpp>

#include <chrono>
#include <ctime>

namespace xmoe_bench {

using xmoe::index;

/// Seconds that `body` takes.
template <class F>
double seconds(F&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of the clock on the wall, and of all processors for this process: the second one is what to look
/// at on a machine that others use as well.
struct Time {
  double wall = 0.0;
  double processor = 0.0;
};
template <class F>
Time times(F&& body) {
  const std::clock_t start = std::clock();
  Time result;
  result.wall = seconds(body);
  result.processor =
      static_cast<double>(std::clock() - start) / static_cast<double>(CLOCKS_PER_SEC);
  return result;
}

/// What the machine can do at most, measured: multiply-adds that need no memory, and reading.
class Limits {
 public:
  explicit Limits(index threads) : workers_(threads), result_(64 * threads), start_(64) {
    for (index i = 0; i < start_.size(); ++i) {
      start_[i] = 1.f / static_cast<float>(i + 1);
    }
  }

  /// Single precision, a multiply-add counts two.
  double gflops() {
    constexpr index steps = 40'000;
    const index items = 200 * workers_.threads();  // small: a thread may be held up
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
            sum[c] += a * b;
          }
        }
        keep(worker, sum);
      });
    });
    return static_cast<double>(items * steps * chains * Simd::lanes * 2) / time * 1e-9;
  }

  /// Of `numbers`, which should be many times the caches.
  double read_gbytes(const float* numbers, index count) {
    constexpr index stretch = 1 << 16;  // 256 KiB
    const index stretches = count / stretch;
    const index items = ((1 << 27) / count + 1) * stretches;  // half a gigabyte or more
    const double time = seconds([&] {
      workers_.parallel(items, [&](index item, index worker) {
        Vector sum[8] = {};
        const float* from = numbers + item % stretches * stretch;
        for (index i = 0; i < stretch; i += 8 * Simd::lanes) {
#pragma GCC unroll 8
          for (int c = 0; c < 8; ++c) {
            sum[c] += Simd::load(from + i + c * Simd::lanes);
          }
        }
        keep(worker, sum);
      });
    });
    return static_cast<double>(items * stretch * 4) / time * 1e-9;
  }

 private:
  using Simd = xmoe::cpu::Simd<float>;
  using Vector = Simd::Vector;
  static constexpr int chains = XMOE_VECTOR_BYTES == 64 ? 24 : 12;

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
