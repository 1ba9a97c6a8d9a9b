// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/routing.cuh>
#include <xmoe/backend/cuda/traits.cuh>
#include <xmoe/core/checks.hpp>
#include <xmoe/core/context.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// Tokens in device memory and, where somebody wants it, which of them are real.
template <class S>
struct DeviceBatch {
  DeviceMatrix<const S> x;                 ///< [T,D]
  VectorView<const std::uint8_t> valid{};  ///< [T] in device memory, 0 = padding; empty = all

  DeviceBatch() = default;
  DeviceBatch(DeviceMatrix<const S> tokens, VectorView<const std::uint8_t> mask = {})  // NOLINT
      : x(tokens), valid(mask) {}
  DeviceBatch(DeviceMatrix<S> tokens) requires(!std::is_const_v<S>)  // NOLINT
      : x(tokens) {}

  /// For kernels: null means that all are tokens.
  const std::uint8_t* mask() const { return valid.size() == 0 ? nullptr : valid.data(); }
};

namespace detail {

/// For checks of shapes and addresses, which read no number.
template <class S>
In<S> shape_of(const DeviceMatrix<const S>& m) {
  return {m.data(), m.rows(), m.cols(), m.stride()};
}
template <class S>
void check_matrix(const char* function, const char* name, const DeviceMatrix<const S>& m,
                  index rows, index cols) {
  xmoe::detail::check_matrix<S>(function, name, shape_of<S>(m), rows, cols);
}
template <class S>
void check_apart(const char* function, const char* name, const DeviceMatrix<const S>& m,
                 const char* other, const DeviceMatrix<const S>& o) {
  xmoe::detail::check_apart<S>(function, name, shape_of<S>(m), other, shape_of<S>(o));
}
template <class S>
void check_batch(const char* function, const DeviceBatch<S>& batch, index cols) {
  xmoe::detail::check_batch<S>(function, {shape_of<S>(batch.x), batch.valid}, cols);
}

/// Kernels count rows, slots and one expert's columns in 32 bits.
inline constexpr index most_counted = 0x7fffffff;

inline void check_numbers(const char* function, Sizes sizes) {
  if (sizes.model_dim > most_counted / 2 || sizes.experts > most_counted / 2 ||
      sizes.expert_dim > most_counted / 4) {
    xmoe::detail::fail<shape_error>(
        "%s: model_dim %td, experts %td, expert_dim %td: too large for a device", function,
        sizes.model_dim, sizes.experts, sizes.expert_dim);
  }
}
inline void check_slots(const char* function, index tokens, index width) {
  if (width > 0 && tokens > most_counted / width) {
    xmoe::detail::fail<shape_error>(
        "%s: %td tokens with up to %td experts each are more than %td rows; split the batch",
        function, tokens, width, most_counted);
  }
}

/// What a call works with: the device's counterpart of Context.
struct Call {
  cudaStream_t stream;
  DeviceWorkspace& workspace;  ///< scratch, given back at the end of the call
  DeviceWorkspace& keep;       ///< what backward needs
  Mode mode = Mode::infer;
  Random random = {};

  bool measuring() const { return workspace.measuring(); }
  bool training() const { return mode == Mode::train; }
};

/// `count` zeros, or room for them while sizes are measured.
template <class T>
T* take_zeros(const Call& call, DeviceWorkspace& memory, index count) {
  T* const numbers = memory.take<T>(count);
  if (!call.measuring() && count > 0) {
    check(cudaMemsetAsync(numbers, 0, static_cast<std::size_t>(count) * sizeof(T), call.stream),
          "cudaMemsetAsync of scratch");
  }
  return numbers;
}

inline constexpr int count_valid_threads = 256;

/// *count = how many of the mask's entries are not 0. One block.
template <class T>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(count_valid_threads)
    count_valid_kernel(const std::uint8_t* valid, int tokens, T* count) {
  XMOE_SHARED(int, scratch);
  int mine = 0;
  for (int t = thread_index(); t < tokens; t += count_valid_threads) {
    mine += load<std::uint8_t>(valid + t) != 0 ? 1 : 0;
  }
  const int all = block_sum(mine, scratch);
  if (thread_index() == 0) {
    store(count, static_cast<T>(all));
  }
}

/// For kernels: a place that will hold the number of tokens; null if all are.
template <class S>
const int* count_valid(Call& call, const DeviceBatch<S>& batch) {
  int* const count = call.keep.take<int>(1);
  if (batch.mask() == nullptr) {
    return nullptr;
  }
  if (!call.measuring()) {
    launch(call.stream, count_valid_kernel<int>, Grid{}, unsigned(count_valid_threads),
           32 * sizeof(int), batch.mask(), static_cast<int>(batch.x.rows()), count);
  }
  return count;
}

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
