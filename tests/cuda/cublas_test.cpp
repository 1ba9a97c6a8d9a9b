// SPDX-License-Identifier: Apache-2.0
// How row-major products are said to cuBLAS: a plain column-major multiply in its place.
#include <xmoe/backend/cuda/cublas.cuh>

#include "grouped_case.hpp"

namespace tests {
namespace {

using namespace xmoe;
using xmoe::index;
using Numbers = std::vector<double>;

constexpr double gap = -77.0;  ///< what stands between rows, and must stay

/// [rows, cols], rows `stride` apart.
Numbers numbers(int rows, int cols, int stride, std::uint64_t seed) {
  Numbers all(static_cast<std::size_t>(rows * stride), gap);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      const auto at = static_cast<std::size_t>(i * stride + j);
      all[at] = small_number<double>(seed, at);
    }
  }
  return all;
}
double at(const Numbers& all, index begin, index row, index stride, index col) {
  return all[static_cast<std::size_t>(begin + row * stride + col)];
}

/// What cublasGemmEx does, from its documentation: every matrix column-major.
void multiply(const cuda::ColumnMajorProduct& p, const Numbers& a, const Numbers& b, double beta,
              Numbers& c) {
  CHECK(p.lda >= (p.transpose_a ? p.k : p.m));
  CHECK(p.ldb >= (p.transpose_b ? p.n : p.k));
  CHECK(p.ldc >= p.m);
  for (int j = 0; j < p.n; ++j) {
    for (int i = 0; i < p.m; ++i) {
      double sum = 0.0;
      for (int l = 0; l < p.k; ++l) {
        sum += (p.transpose_a ? at(a, p.a, i, p.lda, l) : at(a, p.a, l, p.lda, i)) *
               (p.transpose_b ? at(b, p.b, l, p.ldb, j) : at(b, p.b, j, p.ldb, l));
      }
      double& to = c[static_cast<std::size_t>(p.c + static_cast<index>(j) * p.ldc + i)];
      to = sum + (beta == 0.0 ? 0.0 : beta * to);
    }
  }
}

constexpr int N = 5, K = 7, ld = 8, in_stride = 9, out_stride = 6;
const std::vector<int> offsets = {0, 3, 3, 4, 9};  // one expert has no rows
constexpr int E = 4, M = 9;

cuda::DeviceMatrices<const double> shape() { return {nullptr, E, N, K, ld}; }

TEST_CASE("cublas: forward products", "[cuda][cublas]") {
  const Numbers weights = numbers(E * N, K, ld, 1), x = numbers(M, K, in_stride, 2);
  Numbers got(M * out_stride, gap), want = got;
  for (int e = 0; e < E; ++e) {
    const auto p = cuda::forward_product(offsets, e, shape(), in_stride, out_stride);
    CHECK(p.empty() == (e == 1));
    multiply(p, weights, x, 0.0, got);
    for (int m = offsets[std::size_t(e)]; m < offsets[std::size_t(e) + 1]; ++m) {
      for (int n = 0; n < N; ++n) {
        double sum = 0.0;
        for (int k = 0; k < K; ++k) {
          sum += at(x, 0, m, in_stride, k) * at(weights, e * N * ld, n, ld, k);
        }
        want[std::size_t(m * out_stride + n)] = sum;
      }
    }
  }
  require_agreement(got, want, 1e-12);
}

TEST_CASE("cublas: gradients of inputs", "[cuda][cublas]") {
  const Numbers weights = numbers(E * N, K, ld, 3), dout = numbers(M, N, out_stride, 4);
  Numbers got(M * in_stride, gap), want = got;
  for (int e = 0; e < E; ++e) {
    multiply(cuda::input_gradient_product(offsets, e, shape(), out_stride, in_stride), weights,
             dout, 0.0, got);
    for (int m = offsets[std::size_t(e)]; m < offsets[std::size_t(e) + 1]; ++m) {
      for (int k = 0; k < K; ++k) {
        double sum = 0.0;
        for (int n = 0; n < N; ++n) {
          sum += at(dout, 0, m, out_stride, n) * at(weights, e * N * ld, n, ld, k);
        }
        want[std::size_t(m * in_stride + k)] = sum;
      }
    }
  }
  require_agreement(got, want, 1e-12);
}

TEST_CASE("cublas: gradients of weights", "[cuda][cublas]") {
  const Numbers dout = numbers(M, N, out_stride, 5), x = numbers(M, K, in_stride, 6);
  const bool accumulate = GENERATE(false, true);
  Numbers got = numbers(E * N, K, ld, 7), want = got;
  const cuda::DeviceMatrices<double> gradient{nullptr, E, N, K, ld};
  for (int e = 0; e < E; ++e) {
    const auto p = cuda::weight_gradient_product(offsets, e, gradient, in_stride, out_stride);
    CHECK(p.empty() == (e == 1));
    multiply(p, x, dout, accumulate ? 1.0 : 0.0, got);
    for (int n = 0; n < N; ++n) {
      for (int k = 0; k < K; ++k) {
        double& sum = want[std::size_t((e * N + n) * ld + k)];
        sum = accumulate ? sum : 0.0;
        for (int m = offsets[std::size_t(e)]; m < offsets[std::size_t(e) + 1]; ++m) {
          sum += at(dout, 0, m, out_stride, n) * at(x, 0, m, in_stride, k);
        }
      }
    }
  }
  require_agreement(got, want, 1e-12);
}

TEST_CASE("cublas: offsets come from the device, once", "[cuda][cublas]") {
  const OnDevice<int> device(offsets);
  const auto before = emulation::counters().synchronizations;
  CHECK(cuda::host_offsets(nullptr, {device.data(), E, M}) == offsets);
  CHECK(emulation::counters().synchronizations == before + 1);
}

TEST_CASE("cublas: strides that it cannot say", "[cuda][cublas][error]") {
  CHECK_THROWS_AS(cuda::forward_product(offsets, 0, shape(), index{1} << 31, out_stride),
                  shape_error);
  CHECK_THROWS_AS(cuda::forward_product(offsets, 0, shape(), in_stride, 0), shape_error);
}

}  // namespace
}  // namespace tests
