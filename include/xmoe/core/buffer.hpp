// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/view.hpp>

#include <cstring>
#include <new>
#include <utility>

namespace xmoe::inline XMOE_ABI {

/// Every block of memory that the library owns starts on such a border.
inline constexpr std::size_t alignment = 64;

/// Asks a Buffer not to write zeros first.
struct uninitialized_t {};
inline constexpr uninitialized_t uninitialized{};

/// An owned, aligned array of trivial numbers in host memory, zeros at first. Movable, copyable.
template <class S>
class Buffer {
  static_assert(std::is_trivially_copyable_v<S>);

 public:
  Buffer() = default;
  Buffer(index count, uninitialized_t) : count_(count) {
    if (count < 0) {
      detail::fail<shape_error>("xmoe::Buffer: %td elements", count);
    }
    if (count > 0) {
      data_ = static_cast<S*>(
          ::operator new(static_cast<std::size_t>(count) * sizeof(S), std::align_val_t(alignment)));
    }
  }
  explicit Buffer(index count) : Buffer(count, uninitialized) { zero(); }
  Buffer(const Buffer& other) : Buffer(other.count_, uninitialized) {
    if (count_ > 0) {
      std::memcpy(data_, other.data_, static_cast<std::size_t>(count_) * sizeof(S));
    }
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Buffer() { ::operator delete(data_, std::align_val_t(alignment)); }

  S* data() { return data_; }
  const S* data() const { return data_; }
  index size() const { return count_; }
  S& operator[](index i) { return data_[i]; }
  const S& operator[](index i) const { return data_[i]; }
  S* begin() { return data_; }
  S* end() { return data_ + count_; }
  const S* begin() const { return data_; }
  const S* end() const { return data_ + count_; }
  VectorView<S> view() { return {data_, count_}; }
  VectorView<const S> view() const { return {data_, count_}; }
  void zero() {
    if (count_ > 0) {
      std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(count_) * sizeof(S));
    }
  }

 private:
  S* data_ = nullptr;
  index count_ = 0;
};

}  // namespace xmoe::inline XMOE_ABI
