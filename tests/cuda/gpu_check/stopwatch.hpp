// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/backend.cuh>
#include <xmoe/backend/cuda/cublas.cuh>

#include "report.hpp"

// Times on the device, and what the device can do at most.
namespace gpu_check {

/// Measures calls on a stream, by events.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream)
      : stream_(stream), scrub_(scrub_bytes(), xmoe::uninitialized) {
    for (cudaEvent_t* event : {&begin_, &end_}) {
      xmoe::cuda::check(cudaEventCreate(event), "cudaEventCreate");
    }
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  cudaStream_t stream() const { return stream_; }

  /// Three calls to warm up, then 7 to 50, half a second together. The L2 cache is overwritten
  /// before each; meanwhile the host puts the call's launches into the stream.
  template <class F>
  Times measure(const F& call) {
    double last = 0.0;
    for (int i = 0; i < 3; ++i) {
      last = once(call);
    }
    const double wanted = 500.0 / std::max(last, 1e-3);
    const int count = static_cast<int>(std::min(std::max(wanted, 7.0), 50.0));
    std::vector<double> all;
    for (int i = 0; i < count; ++i) {
      all.push_back(once(call));
    }
    return Times::of(all);
  }

 private:
  /// Four times the cache, 256 MiB at least.
  static index scrub_bytes() {
    int device = 0, cache = 0;
    xmoe::cuda::check(cudaGetDevice(&device), "cudaGetDevice");
    xmoe::cuda::check(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device),
                      "cudaDeviceGetAttribute");
    return std::max(index(cache) * 4, index(256) << 20);
  }
  template <class F>
  double once(const F& call) {
    using xmoe::cuda::check;
    scrub_.fill(stream_, ++turn_ & 0x7f);
    check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    call();
    check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0.f;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds);
  }

  cudaStream_t stream_;
  xmoe::cuda::DeviceBuffer<std::byte> scrub_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  int turn_ = 0;
};

/// Numbers of unit variance times `scale`; another row of them for every seed.
template <class T>
__global__ void fill_kernel(T* numbers, index count, float scale, unsigned seed) {
  const index step = index(gridDim.x) * blockDim.x;
  for (index i = index(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    auto h = static_cast<unsigned long long>(i) * 0x9e3779b97f4a7c15ull + seed;
    h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 29)) * 0x94d049bb133111ebull;
    const float unit = static_cast<float>(h >> 40) * 0x1p-23f - 1.f;
    numbers[i] = T(1.7320508f * scale * unit);
  }
}
template <class T>
void fill(cudaStream_t stream, T* numbers, index count, double scale, unsigned seed) {
  xmoe::cuda::launch(stream, fill_kernel<T>, xmoe::cuda::Grid{1024}, 256u, 0, numbers, count,
                     static_cast<float>(scale), seed);
}

/// A square product of cuBLAS, and a copy within the device.
template <class S>
Limits measure_limits(Stopwatch& watch, const std::string& scalar) {
  using namespace xmoe::cuda;
  using Math = typename default_math<S>::type;
  Limits limits{scalar};
  {
    constexpr int n = xmoe::NarrowWeight<S> ? 8192 : 4096;
    DeviceBuffer<S> a(index(n) * n, xmoe::uninitialized), b(index(n) * n, xmoe::uninitialized),
        c(index(n) * n, xmoe::uninitialized);
    fill(watch.stream(), a.data(), a.size(), 1.0, 1);
    fill(watch.stream(), b.data(), b.size(), 1.0, 2);
    const CublasLoop blas(watch.stream());
    const std::vector<int> offsets = {0, n};
    const Times t = watch.measure([&] {
      blas.forward<Math>(offsets, DeviceRows<S>{a.data(), n},
                         DeviceMatrices<const S>{b.data(), 1, n, n, n}, c.data(), n);
    });
    limits.flops = 2.0 * n * n * double(n) / t.median * 1e3;
  }
  const index bytes = index(512) << 20;
  DeviceBuffer<std::byte> from(bytes, xmoe::uninitialized), to(bytes, xmoe::uninitialized);
  from.zero(watch.stream());
  const Times t = watch.measure([&] {
    check(cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(bytes),
                          cudaMemcpyDeviceToDevice, watch.stream()),
          "cudaMemcpyAsync");
  });
  limits.bytes = 2.0 * double(bytes) / t.median * 1e3;
  return limits;
}

}  // namespace gpu_check
