// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/error.cuh>
#include <xmoe/core/workspace.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// An owned array of trivial numbers in device memory. Moves, is not copied.
///
///   throws  cuda_error where memory is short or there is no device; shape_error for a wrong count
template <class T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceBuffer() = default;
  DeviceBuffer(index count, uninitialized_t) : count_(count) {
    if (count < 0) {
      xmoe::detail::fail<shape_error>("xmoe::cuda::DeviceBuffer: %td elements", count);
    }
    if (count > 0) {
      void* memory = nullptr;
      check(cudaMalloc(&memory, bytes()), "xmoe::cuda::DeviceBuffer: cudaMalloc");
      data_ = static_cast<T*>(memory);
    }
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~DeviceBuffer() { cudaFree(data_); }  // waits for whatever still uses it

  T* data() { return data_; }
  const T* data() const { return data_; }
  index size() const { return count_; }

  /// Fills every byte.
  void fill(cudaStream_t stream, int byte) {
    if (count_ > 0) {
      check(cudaMemsetAsync(data_, byte, bytes(), stream),
            "xmoe::cuda::DeviceBuffer::fill: cudaMemsetAsync");
    }
  }
  void zero(cudaStream_t stream) { fill(stream, 0); }
  /// Copies `numbers` here; returns when they have been read.
  void upload(cudaStream_t stream, std::span<const T> numbers) {
    check_count("upload", static_cast<index>(numbers.size()));
    copy(stream, data_, numbers.data(), cudaMemcpyHostToDevice);
  }
  /// Copies everything to `numbers`; returns when they are there.
  void download(cudaStream_t stream, std::span<T> numbers) const {
    check_count("download", static_cast<index>(numbers.size()));
    copy(stream, numbers.data(), data_, cudaMemcpyDeviceToHost);
  }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }
  void check_count(const char* function, index count) const {
    if (count != count_) {
      xmoe::detail::fail<shape_error>("xmoe::cuda::DeviceBuffer::%s: %td numbers for %td", function,
                                      count, count_);
    }
  }
  void copy(cudaStream_t stream, void* to, const void* from, cudaMemcpyKind kind) const {
    if (count_ > 0) {
      check(cudaMemcpyAsync(to, from, bytes(), kind, stream),
            "xmoe::cuda::DeviceBuffer: cudaMemcpyAsync");
      check(cudaStreamSynchronize(stream), "xmoe::cuda::DeviceBuffer: cudaStreamSynchronize");
    }
  }

  T* data_ = nullptr;
  index count_ = 0;
};

/// Scratch in device memory, in parts at multiples of 256 bytes, as cudaMalloc gives them.
using DeviceWorkspace = BasicWorkspace<DeviceBuffer<std::byte>, 256>;

}  // namespace xmoe::inline XMOE_ABI::cuda
