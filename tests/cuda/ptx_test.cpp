// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/ptx.cuh>

#include "emulation_case.hpp"

#include <cmath>
#include <limits>

using namespace xmoe;
using cuda::launch;

namespace {

template <class S>
XMOE_KERNEL void tile_product(const S* a, const S* b, float* c) {  // [16,16] [16,8] [16,8]
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair = [](S low, S high) {
    return static_cast<unsigned>(low.bits) | static_cast<unsigned>(high.bits) << 16;
  };
  unsigned left[4], right[2];
  for (unsigned i = 0; i < 4; ++i) {
    const S* from = a + (g + i % 2 * 8) * 16 + i / 2 * 8 + 2 * t;
    left[i] = pair(from[0], from[1]);
  }
  for (unsigned i = 0; i < 2; ++i) {
    const S* from = b + (i * 8 + 2 * t) * 8 + g;
    right[i] = pair(from[0], from[8]);
  }
  float sums[4];
  for (unsigned i = 0; i < 4; ++i) {
    sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  }
  cuda::mma_m16n8k16<S>(sums, left, right);
  for (unsigned i = 0; i < 4; ++i) {
    c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
  }
}

template <class S>
XMOE_KERNEL void tile_product_tf32(const S* a, const S* b, S* c) {  // [16,8] [8,8] [16,8]
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  unsigned left[4], right[2];
  for (unsigned i = 0; i < 4; ++i) {
    left[i] = cuda::to_tf32(a[(g + i % 2 * 8) * 8 + i / 2 * 4 + t]);
  }
  for (unsigned i = 0; i < 2; ++i) {
    right[i] = cuda::to_tf32(b[(i * 4 + t) * 8 + g]);
  }
  float sums[4] = {};
  cuda::mma_m16n8k8_tf32(sums, left, right);
  for (unsigned i = 0; i < 4; ++i) {
    c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
  }
}

/// Four 8 x 8 matrices below each other, rows of 16 bytes.
template <class S>
XMOE_KERNEL void matrices(const S* x, unsigned* plain4, unsigned* plain2, unsigned* trans4,
                          unsigned* trans2) {
  XMOE_SHARED(S, memory);
  for (unsigned i = threadIdx.x; i < 256; i += 32) {
    memory[i] = x[i];
  }
  XMOE_WARP_BARRIER(0xffffffffu);
  unsigned four[4], two[2];
  const S* row = memory + threadIdx.x * 8;
  const S* short_row = memory + threadIdx.x % 16 * 8;
  cuda::ldmatrix_x4(four, row);
  for (unsigned i = 0; i < 4; ++i) {
    plain4[threadIdx.x * 4 + i] = four[i];
  }
  cuda::ldmatrix_x4_trans(four, row);
  for (unsigned i = 0; i < 4; ++i) {
    trans4[threadIdx.x * 4 + i] = four[i];
  }
  cuda::ldmatrix_x2(two, short_row);
  for (unsigned i = 0; i < 2; ++i) {
    plain2[threadIdx.x * 2 + i] = two[i];
  }
  cuda::ldmatrix_x2_trans(two, short_row);
  for (unsigned i = 0; i < 2; ++i) {
    trans2[threadIdx.x * 2 + i] = two[i];
  }
}

template <class T>
XMOE_KERNEL void partial_copies(const T* x, T* y) {
  XMOE_SHARED(T, memory);
  cuda::cp_async_16(memory + 4 * threadIdx.x, x + 4 * threadIdx.x,
                    static_cast<int>(threadIdx.x) * 4);
  cuda::cp_async_commit();
  cuda::cp_async_commit();
  cuda::cp_async_wait<1>();
  for (unsigned i = 0; i < 4; ++i) {
    y[4 * threadIdx.x + i] = memory[4 * threadIdx.x + i];
  }
}

/// Three groups under way; the oldest arrives first.
template <class T>
XMOE_KERNEL void pipeline(const T* x, T* y) {
  XMOE_SHARED(T, memory);
  for (unsigned i = 0; i < 3; ++i) {
    cuda::cp_async_16(memory + 4 * i, x + 4 * i);
    cuda::cp_async_commit();
  }
  cuda::cp_async_wait<2>();
  y[0] = memory[0];
  y[1] = memory[4];
  cuda::cp_async_wait<1>();
  y[2] = memory[4];
  y[3] = memory[8];
  cuda::cp_async_wait<0>();
  y[4] = memory[8];
}

double pseudo(unsigned i) { return std::sin(static_cast<double>(i) * 12.9898) * 2; }

template <class S>
void check_product() {
  std::vector<S> a(256), b(128);
  std::vector<float> c(128);
  for (unsigned i = 0; i < 256; ++i) {
    a[i] = S(pseudo(i));
    b[i % 128] = S(pseudo(i + 1000));
    c[i % 128] = static_cast<float>(pseudo(i + 2000));
  }
  const tests::DeviceArray<S> da(a), db(b);
  const tests::DeviceArray<float> dc(c);
  launch(nullptr, tile_product<S>, {}, 32, 0, da.data(), db.data(), dc.data());
  const std::vector<float> got = dc.host();
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned column = 0; column < 8; ++column) {
      double expected = static_cast<double>(c[row * 8 + column]), size = std::abs(expected);
      for (unsigned k = 0; k < 16; ++k) {
        const double term = static_cast<double>(static_cast<float>(a[row * 16 + k])) *
                            static_cast<double>(static_cast<float>(b[k * 8 + column]));
        expected += term;
        size += std::abs(term);
      }
      CHECK(std::abs(static_cast<double>(got[row * 8 + column]) - expected) <= 17 * size * 0x1p-24);
    }
  }
}

}  // namespace

TEST_CASE("products of bfloat16 and half tiles") {
  check_product<bfloat16>();
  check_product<half>();
}

TEST_CASE("products keep infinity, NaN and subnormal halves") {
  std::vector<half> a(256, half(0.0f)), b(128, half(0.0f));
  a[0] = half::from_bits(0x0001);  // 2^-24
  b[0] = half(1.0f);
  a[16] = half::from_bits(0x7c00);  // row 1: infinity
  a[32] = half::from_bits(0x7e00);  // row 2: NaN
  a[48] = half::from_bits(0x8001);  // row 3: -2^-24
  const tests::DeviceArray<half> da(a), db(b);
  const tests::DeviceArray<float> dc(std::vector<float>(128, 0.0f));
  launch(nullptr, tile_product<half>, {}, 32, 0, da.data(), db.data(), dc.data());
  const std::vector<float> c = dc.host();
  CHECK(c[0] == 0x1p-24f);
  CHECK(std::isinf(c[8]));
  CHECK(std::isnan(c[9]));  // infinity times zero
  CHECK(std::isnan(c[16]));
  CHECK(c[24] == -0x1p-24f);
}

TEST_CASE("products of tf32 tiles") {
  std::vector<float> a(128), b(64);
  for (unsigned i = 0; i < 128; ++i) {
    a[i] = static_cast<float>(pseudo(i));
    b[i % 64] = static_cast<float>(pseudo(i + 500));
  }
  const tests::DeviceArray<float> da(a), db(b), dc(128);
  launch(nullptr, tile_product_tf32<float>, {}, 32, 0, da.data(), db.data(), dc.data());
  const std::vector<float> c = dc.host();
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned column = 0; column < 8; ++column) {
      double expected = 0, size = 0;
      for (unsigned k = 0; k < 8; ++k) {
        const double term =
            static_cast<double>(a[row * 8 + k]) * static_cast<double>(b[k * 8 + column]);
        expected += term;
        size += std::abs(term);
      }
      CHECK(std::abs(static_cast<double>(c[row * 8 + column]) - expected) <= 2.1 * size * 0x1p-11);
    }
  }
}

TEST_CASE("rounding to tf32") {
  const auto rounded = [](float x) { return std::bit_cast<float>(cuda::to_tf32(x)); };
  CHECK(rounded(1.0f) == 1.0f);
  CHECK(rounded(1.0f + 0x1p-11f) == 1.0f + 0x1p-10f);  // a tie, away from zero
  CHECK(rounded(-1.0f - 0x1p-11f) == -1.0f - 0x1p-10f);
  CHECK(rounded(1.0f + 0x1p-11f - 0x1p-23f) == 1.0f);
  CHECK(std::isinf(rounded(std::numeric_limits<float>::infinity())));
  CHECK(std::isinf(rounded(std::numeric_limits<float>::max())));
  CHECK(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("matrices from shared memory, straight and transposed") {
  const tests::DeviceArray<std::uint16_t> x(tests::counting<std::uint16_t>(256));
  const tests::DeviceArray<unsigned> p4(128), p2(64), t4(128), t2(64);
  launch(nullptr, matrices<std::uint16_t>, {}, 32, 512, x.data(), p4.data(), p2.data(), t4.data(),
         t2.data());
  const auto plain4 = p4.host(), plain2 = p2.host(), trans4 = t4.host(), trans2 = t2.host();
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned m = 0; m < 4; ++m) {
      const unsigned g = lane / 4, t = lane % 4 * 2;
      const unsigned straight = (m * 64 + g * 8 + t) | (m * 64 + g * 8 + t + 1) << 16;
      const unsigned transposed = (m * 64 + t * 8 + g) | (m * 64 + (t + 1) * 8 + g) << 16;
      CHECK(plain4[lane * 4 + m] == straight);
      CHECK(trans4[lane * 4 + m] == transposed);
      if (m < 2) {
        CHECK(plain2[lane * 2 + m] == straight);
        CHECK(trans2[lane * 2 + m] == transposed);
      }
    }
  }
}

TEST_CASE("copies of fewer than 16 bytes fill with zeros") {
  const tests::DeviceArray<float> x(tests::counting<float>(20)), y(20);
  launch(nullptr, partial_copies<float>, {}, 5, 80, x.data(), y.data());
  const std::vector<float> got = y.host();
  for (unsigned i = 0; i < 20; ++i) {
    CHECK(got[i] == (i % 4 < i / 4 ? static_cast<float>(i) : 0.0f));
  }
}

TEST_CASE("groups of copies arrive in order, as they are waited for") {
  const tests::DeviceArray<float> x(tests::counting<float>(12)), y(5);
  launch(nullptr, pipeline<float>, {}, 1, 48, x.data(), y.data());
  const std::vector<float> got = y.host();
  CHECK(got[0] == 0);
  CHECK(tests::all_ones(got[1]));
  CHECK(got[2] == 4);
  CHECK(tests::all_ones(got[3]));
  CHECK(got[4] == 8);
}
