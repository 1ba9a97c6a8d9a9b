// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/buffer.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// True where a layer could run: a driver and at least one device. Never throws.
inline bool available() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  static_cast<void>(cudaGetLastError());  // what is reported here is not the next call's error
  return found;
}

/// A stream that is owned. Moves, is not copied. Throws cuda_error.
class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
          "xmoe::cuda::Stream: cudaStreamCreateWithFlags");
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream() {
    if (stream_ != nullptr) {
      cudaStreamDestroy(stream_);
    }
  }

  cudaStream_t get() const { return stream_; }
  void synchronize() const {
    check(cudaStreamSynchronize(stream_), "xmoe::cuda::Stream: cudaStreamSynchronize");
  }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Where a layer's kernels go: a stream of the device that is current in the calling thread. Not an
/// owner. By default CUDA's default stream.
///
///   throws  cuda_error where there is no driver or no device; see available()
class Backend {
 public:
  explicit Backend(cudaStream_t stream = nullptr) : stream_(stream) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "xmoe::cuda::Backend: cudaGetDeviceCount");
    check(count > 0 ? cudaSuccess : cudaErrorNoDevice, "xmoe::cuda::Backend");
  }
  explicit Backend(const Stream& stream) : Backend(stream.get()) {}

  cudaStream_t stream() const { return stream_; }
  /// Waits until everything on the stream is done.
  void synchronize() const {
    check(cudaStreamSynchronize(stream_), "xmoe::cuda::Backend: cudaStreamSynchronize");
  }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace xmoe::inline XMOE_ABI::cuda
