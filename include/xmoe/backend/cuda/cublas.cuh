// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/grouped_products.cuh>
#include <xmoe/backend/cuda/readback.cuh>

#if defined(__CUDACC__)
#include <cublas_v2.h>
#endif

/// Grouped products as a loop of cuBLAS calls over the experts: a baseline to compare with. It is
/// no part of <xmoe/cuda.cuh>, and whoever includes it links cuBLAS.
namespace xmoe::inline XMOE_ABI::cuda {

/// One product as cuBLAS wants it said, with everything column-major:
/// C [m,n] = op(A) [m,k] op(B) [k,n]. A row-major matrix is its own transpose there.
struct ColumnMajorProduct {
  bool transpose_a = false, transpose_b = false;
  int m = 0, n = 0, k = 0;
  int lda = 0, ldb = 0, ldc = 0;
  index a = 0, b = 0, c = 0;  ///< where this expert's operands begin, in numbers

  /// No sum has a term, or there is no sum.
  bool empty() const { return m == 0 || n == 0 || k == 0; }
};

namespace detail {

inline int leading(index numbers) {
  if (numbers < 1 || numbers > most_counted) {
    xmoe::detail::fail<shape_error>("xmoe::cuda::CublasLoop: rows %td numbers apart", numbers);
  }
  return static_cast<int>(numbers);
}
struct ExpertRows {
  index first;
  int count;
};
inline ExpertRows rows_of(std::span<const int> offsets, int expert) {
  const auto e = static_cast<std::size_t>(expert);
  return {offsets[e], offsets[e + 1] - offsets[e]};
}

}  // namespace detail

/// out [M,N] = rows [M,K] W_e [N,K]^T: A is the weights, B the rows.
///
///   offsets   [E+1] in host memory: expert e has the rows offsets[e] .. offsets[e+1]-1
template <class W>
ColumnMajorProduct forward_product(std::span<const int> offsets, int expert,
                                   const DeviceMatrices<W>& weights, index row_stride,
                                   index out_stride) {
  const auto rows = detail::rows_of(offsets, expert);
  return {true,
          false,
          weights.rows,
          rows.count,
          weights.cols,
          weights.ld,
          detail::leading(row_stride),
          detail::leading(out_stride),
          expert * weights.matrix(),
          rows.first * row_stride,
          rows.first * out_stride};
}

/// out [M,K] = rows [M,N] W_e [N,K]: A is the weights, B the rows.
template <class W>
ColumnMajorProduct input_gradient_product(std::span<const int> offsets, int expert,
                                          const DeviceMatrices<W>& weights, index row_stride,
                                          index out_stride) {
  const auto rows = detail::rows_of(offsets, expert);
  return {false,
          false,
          weights.cols,
          rows.count,
          weights.rows,
          weights.ld,
          detail::leading(row_stride),
          detail::leading(out_stride),
          expert * weights.matrix(),
          rows.first * row_stride,
          rows.first * out_stride};
}

/// dW_e [N,K] = dout [M,N]^T in [M,K]: A is in, B is dout, C the weights' gradient.
template <class T>
ColumnMajorProduct weight_gradient_product(std::span<const int> offsets, int expert,
                                           const DeviceMatrices<T>& dweights, index in_stride,
                                           index dout_stride) {
  const auto rows = detail::rows_of(offsets, expert);
  return {false,
          true,
          dweights.cols,
          dweights.rows,
          rows.count,
          detail::leading(in_stride),
          detail::leading(dout_stride),
          dweights.ld,
          rows.first * in_stride,
          rows.first * dout_stride,
          expert * dweights.matrix()};
}

/// The offsets of a grouping, in host memory. Waits for the stream.
inline std::vector<int> host_offsets(cudaStream_t stream, const DeviceGroups& groups) {
  return detail::read(stream, groups.offsets, static_cast<index>(groups.experts) + 1);
}

}  // namespace xmoe::inline XMOE_ABI::cuda

#if defined(__CUDACC__)

namespace xmoe::inline XMOE_ABI {

/// What a call of cuBLAS failed with. The text has the call and cuBLAS's name for it.
class cublas_error : public error {
 public:
  int code = 0;  ///< a cublasStatus_t
};

namespace cuda {

/// Throws cublas_error unless the status is a success. `what`: the call, for the text.
inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) {
    return;
  }
  cublas_error problem;
  problem.code = static_cast<int>(status);
  std::snprintf(problem.text_, error::capacity, "%s: %s (%s)", what, cublasGetStatusName(status),
                cublasGetStatusString(status));
#if XMOE_EXCEPTIONS
  throw problem;
#else
  std::fprintf(stderr, "%s\n", problem.text_);
  std::abort();
#endif
}

namespace detail {

template <class T>
inline constexpr cudaDataType_t cublas_type = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t cublas_type<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t cublas_type<bfloat16> = CUDA_R_16BF;
template <>
inline constexpr cudaDataType_t cublas_type<half> = CUDA_R_16F;

template <class Math, class S>
constexpr cublasComputeType_t cublas_compute() {
  if constexpr (std::same_as<S, double>) {
    return CUBLAS_COMPUTE_64F;
  } else if constexpr (std::same_as<S, float> && std::same_as<Math, TensorCore>) {
    return CUBLAS_COMPUTE_32F_FAST_TF32;
  } else {
    return CUBLAS_COMPUTE_32F;
  }
}

}  // namespace detail

/// The three grouped products by one cublasGemmEx an expert that has rows. Rows have to lie by
/// expert already: cuBLAS reads no index, and has no epilogue.
///
/// It needs the counts in host memory: with a routing that was made on the device that is one wait
/// a call (`host_offsets`), and no call can be captured in a graph. Not for use in a layer.
///
///   cost    E launches at most
///   throws  cublas_error, with CUBLAS_STATUS_NOT_INITIALIZED where there is no device;
///           value_error for rows with an index; shape_error for strides beyond 32 bits
class CublasLoop {
 public:
  static constexpr bool needs_host_counts = true;

  explicit CublasLoop(cudaStream_t stream = nullptr) {
    check(cublasCreate(&handle_), "xmoe::cuda::CublasLoop: cublasCreate");
    const cublasStatus_t status = cublasSetStream(handle_, stream);
    if (status != CUBLAS_STATUS_SUCCESS) {
      cublasDestroy(handle_);
      check(status, "xmoe::cuda::CublasLoop: cublasSetStream");
    }
    stream_ = stream;
  }
  CublasLoop(CublasLoop&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), stream_(other.stream_) {}
  CublasLoop& operator=(CublasLoop&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~CublasLoop() {
    if (handle_ != nullptr) {
      cublasDestroy(handle_);
    }
  }

  /// For calls of your own.
  cublasHandle_t handle() const { return handle_; }

  /// out [.,N] = rows [.,K] W_e^T, weights [E,N,K]. `offsets` [E+1] in host memory.
  template <class Math, class S>
  void forward(std::span<const int> offsets, const DeviceRows<S>& rows,
               const DeviceMatrices<const S>& weights, S* out, index out_stride) const {
    check_call(offsets, weights.count, rows);
    for (int e = 0; e < weights.count; ++e) {
      multiply<Math>(forward_product(offsets, e, weights, rows.stride, out_stride), weights.data,
                     rows.data, out, false);
    }
  }
  /// out [.,K] = rows [.,N] W_e, weights [E,N,K].
  template <class Math, class S>
  void input_gradient(std::span<const int> offsets, const DeviceRows<S>& rows,
                      const DeviceMatrices<const S>& weights, S* out, index out_stride) const {
    check_call(offsets, weights.count, rows);
    for (int e = 0; e < weights.count; ++e) {
      multiply<Math>(input_gradient_product(offsets, e, weights, rows.stride, out_stride),
                     weights.data, rows.data, out, false);
    }
  }
  /// dweights [E,N,K] = or += dout [.,N]^T in [.,K]; experts without rows: zeros, or left alone.
  template <class Math, class S, class T>
  void weight_gradient(std::span<const int> offsets, const DeviceRows<S>& dout,
                       const DeviceRows<S>& in, const DeviceMatrices<T>& dweights,
                       bool accumulate) const {
    check_call(offsets, dweights.count, dout);
    check_call(offsets, dweights.count, in);
    for (int e = 0; e < dweights.count; ++e) {
      const auto product = weight_gradient_product(offsets, e, dweights, in.stride, dout.stride);
      if (product.k == 0 && !accumulate) {
        check(cudaMemsetAsync(dweights.data + product.c, 0,
                              static_cast<std::size_t>(dweights.matrix()) * sizeof(T), stream_),
              "xmoe::cuda::CublasLoop: cudaMemsetAsync");
      }
      multiply<Math>(product, in.data, dout.data, dweights.data, accumulate);
    }
  }

 private:
  template <class S>
  static void check_call(std::span<const int> offsets, int experts, const DeviceRows<S>& rows) {
    if (static_cast<index>(offsets.size()) != static_cast<index>(experts) + 1) {
      xmoe::detail::fail<shape_error>("xmoe::cuda::CublasLoop: %zu offsets for %d experts",
                                      offsets.size(), experts);
    }
    if (rows.gather != nullptr) {
      xmoe::detail::fail<value_error>(
          "xmoe::cuda::CublasLoop: the rows have an index; cuBLAS reads none: gather them before");
    }
  }
  template <class Math, class S, class T>
  void multiply(const ColumnMajorProduct& p, const S* a, const S* b, T* c, bool accumulate) const {
    if (p.empty()) {
      return;
    }
    using Factor = std::conditional_t<std::same_as<S, double>, double, float>;
    const Factor alpha = 1, beta = accumulate ? 1 : 0;
    check(cublasGemmEx(handle_, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                       p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, p.m, p.n, p.k, &alpha, a + p.a,
                       detail::cublas_type<S>, p.lda, b + p.b, detail::cublas_type<S>, p.ldb, &beta,
                       c + p.c, detail::cublas_type<T>, p.ldc, detail::cublas_compute<Math, S>(),
                       CUBLAS_GEMM_DEFAULT),
          "xmoe::cuda::CublasLoop: cublasGemmEx");
  }

  cublasHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

}  // namespace cuda

}  // namespace xmoe::inline XMOE_ABI

#endif
