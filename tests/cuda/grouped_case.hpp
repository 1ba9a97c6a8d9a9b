// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <xmoe/backend/cuda/grouped_products.cuh>
#include <xmoe/expert/activation.hpp>

#include <cstring>
#include <vector>

// Grouped products under emulation: data on the device, references in float64 by plain loops.
namespace tests {

/// The order in which emulated threads run, from a seed, and the number of multiprocessors; as
/// before at the end of the block.
class Emulated {
 public:
  explicit Emulated(unsigned seed, int multiprocessors = 4) : before_(emulation::settings()) {
    emulation::settings().seed = seed;
    emulation::settings().multiprocessors = multiprocessors;
  }
  ~Emulated() { emulation::settings() = before_; }
  Emulated(const Emulated&) = delete;
  Emulated& operator=(const Emulated&) = delete;

 private:
  emulation::Settings before_;
};

/// Numbers on the device, `skew` of them behind an allocation's begin.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& numbers, std::size_t skew = 0)
      : count_(numbers.size()), skew_(skew) {
    void* memory = nullptr;
    cudaMalloc(&memory, (count_ + skew_) * sizeof(T) + 16);
    first_ = static_cast<T*>(memory);
    if (count_ > 0) {
      cudaMemcpyAsync(data(), numbers.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, nullptr);
    }
  }
  ~OnDevice() { cudaFree(first_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* data() const { return first_ + skew_; }
  std::vector<T> numbers() const {
    std::vector<T> result(count_);
    if (count_ > 0) {
      cudaMemcpyAsync(result.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost, nullptr);
      cudaStreamSynchronize(nullptr);
    }
    return result;
  }

 private:
  std::size_t count_, skew_;
  T* first_ = nullptr;
};

template <class T>
double number(T x) {
  if constexpr (xmoe::NarrowWeight<T>) {
    return static_cast<double>(static_cast<float>(x));
  } else {
    return static_cast<double>(x);
  }
}

/// Half the distance of numbers of the type near 1: how far storing may move one.
template <class T>
double rounding() {
  if constexpr (std::is_same_v<T, xmoe::bfloat16>) {
    return 0x1p-8;
  } else if constexpr (std::is_same_v<T, xmoe::half>) {
    return 0x1p-11;
  } else {
    return static_cast<double>(std::numeric_limits<T>::epsilon());
  }
}

/// A matrix in host memory whose rows are `stride` apart; the gaps hold NaN.
template <class T>
struct Matrix {
  int rows = 0, cols = 0, stride = 0;
  std::vector<T> numbers;

  double operator()(int i, int j) const {
    return number(numbers[static_cast<std::size_t>(i) * static_cast<std::size_t>(stride) +
                          static_cast<std::size_t>(j)]);
  }
};

/// Numbers between -1 and 1 of half as many bits as are summed in, so that products are exact, and
/// of different magnitudes, so that sums are not: their bits tell the order. tf32 holds those of
/// float as well.
template <class T>
T small_number(std::uint64_t seed, std::uint64_t position) {
  constexpr int bits =
      std::is_same_v<T, double> ? 26 : (std::is_same_v<T, xmoe::bfloat16> ? 8 : 11);
  constexpr std::uint64_t half_range = (std::uint64_t{1} << (bits - 1)) - 1;
  std::uint64_t h = (seed + 1) * 0x9e3779b97f4a7c15u + position * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 29)) * 0x94d049bb133111ebu;
  h ^= h >> 32;
  const int magnitude = static_cast<int>(h >> 60) % (bits == 11 ? 4 : 12);
  const double value =
      static_cast<double>(h % (2 * half_range + 1)) - static_cast<double>(half_range);
  return T(static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(
      std::ldexp(value, 1 - bits - magnitude)));
}

/// `gap`: what stands between the rows: NaN, or 0 for weights.
template <class T>
Matrix<T> random_matrix(int rows, int cols, int stride, std::uint64_t seed,
                        float gap = std::numeric_limits<float>::quiet_NaN()) {
  Matrix<T> m{rows, cols, stride, {}};
  m.numbers.assign(static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride), T(gap));
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      const auto at = static_cast<std::size_t>(i) * static_cast<std::size_t>(stride) +
                      static_cast<std::size_t>(j);
      m.numbers[at] = small_number<T>(seed, at);
    }
  }
  return m;
}

inline int rounded_up(int n, int to) { return (n + to - 1) / to * to; }

/// Weights of all experts, [E,rows,cols], rows a multiple of 16 bytes apart, zeros in the gaps.
template <class T>
struct Bank {
  int count, rows, cols, ld;
  Matrix<T> matrix;  // [count * rows, cols]
  OnDevice<T> device;

  Bank(int count_, int rows_, int cols_, std::uint64_t seed)
      : count(count_),
        rows(rows_),
        cols(cols_),
        ld(rounded_up(cols_, 16 / static_cast<int>(sizeof(T)))),
        matrix(random_matrix<T>(count_ * rows_, cols_, ld, seed, 0.f)),
        device(matrix.numbers) {}
  double operator()(int e, int i, int j) const { return matrix(e * rows + i, j); }
  xmoe::cuda::DeviceMatrices<const T> view() const {
    return {device.data(), count, rows, cols, ld};
  }
};

/// A plan: rows by expert, inside an expert by token; tokens are drawn, ascending.
struct Plan {
  int experts, tokens, rows;
  std::vector<int> offsets, token, expert;
  OnDevice<int> device_offsets, device_token;
  int most_rows;

  Plan(const std::vector<int>& loads, int tokens_)
      : experts(static_cast<int>(loads.size())),
        tokens(tokens_),
        rows(0),
        offsets(begins(loads)),
        token(tokens_of(loads, tokens_)),
        device_offsets(offsets),
        device_token(token),
        most_rows(0) {
    rows = offsets.back();
    most_rows = rows + 7;  // the worst case is larger than what came
    for (int e = 0; e < experts; ++e) {
      expert.insert(expert.end(), static_cast<std::size_t>(loads[static_cast<std::size_t>(e)]), e);
    }
  }
  xmoe::cuda::DeviceGroups groups() const { return {device_offsets.data(), experts, most_rows}; }

 private:
  static std::vector<int> begins(const std::vector<int>& loads) {
    std::vector<int> offsets(1, 0);
    for (const int n : loads) {
      offsets.push_back(offsets.back() + n);
    }
    return offsets;
  }
  static std::vector<int> tokens_of(const std::vector<int>& loads, int tokens) {
    std::vector<int> result;
    for (const int n : loads) {
      for (int i = 0; i < n; ++i) {
        result.push_back(tokens <= n ? i * tokens / n : i + (tokens - n) / 2);
      }
    }
    return result;
  }
};

/// Whether all numbers of `got` are within `allowed` of `want`.
template <class T>
bool agree(const std::vector<T>& got, const std::vector<double>& want, double allowed) {
  if (got.size() != want.size()) {
    return false;
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!within(number(got[i]), want[i], allowed + 2 * rounding<T>() * std::abs(want[i]))) {
      UNSCOPED_INFO("number " << i << " of " << got.size() << ": " << number(got[i]) << ", not "
                              << want[i]);
      return false;
    }
  }
  return true;
}

/// Requires agreement, and that one number that is off would have been noticed.
template <class T>
void require_agreement(std::vector<T> got, const std::vector<double>& want, double allowed) {
  REQUIRE(agree(got, want, allowed));
  if (!got.empty()) {
    const std::size_t at = got.size() * 2 / 3;
    const double off = want[at] + 8 * allowed + 8 * rounding<T>() * (1 + std::abs(want[at]));
    got[at] = T(static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(off));
    REQUIRE_FALSE(agree(got, want, allowed));
  }
}

/// Requires the same bits, and that one bit would have been noticed.
template <class T>
void require_same_bits(const std::vector<T>& a, std::vector<T> b) {
  const auto same = [&] {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  };
  REQUIRE(same());
  if (!b.empty()) {
    unsigned char byte = 0;
    std::memcpy(&byte, &b[b.size() / 2], 1);
    byte ^= 1;
    std::memcpy(static_cast<void*>(&b[b.size() / 2]), &byte, 1);
    REQUIRE_FALSE(same());
  }
}

/// What a test is run for: an arithmetic and a scalar.
template <class Math, class S>
struct Kind {
  using math = Math;
  using scalar = S;
  using sum = xmoe::sum_type<S>;
};
using xmoe::cuda::Simt;
using xmoe::cuda::TensorCore;
#define ALL_KINDS                                                                                \
  (tests::Kind<tests::Simt, float>), (tests::Kind<tests::Simt, double>),                         \
      (tests::Kind<tests::TensorCore, float>), (tests::Kind<tests::TensorCore, xmoe::bfloat16>), \
      (tests::Kind<tests::TensorCore, xmoe::half>)

/// Allowed distance of a sum of `terms` products of numbers up to 1.
template <class K>
double allowed(int terms) {
  return tolerance<typename K::sum>(terms, 1.0) *
         std::sqrt(static_cast<double>(terms < 1 ? 1 : terms));
}

}  // namespace tests
