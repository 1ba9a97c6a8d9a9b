// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/catch.hpp"

#include <xmoe/backend/cuda/platform.cuh>

#include "cuda_emulation/child.hpp"

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace tests {

/// Numbers on the device, or room for some.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    xmoe::cuda::check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& numbers) : DeviceArray(numbers.size()) {
    xmoe::cuda::check(
        cudaMemcpyAsync(data_, numbers.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, nullptr),
        "cudaMemcpyAsync");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> numbers(count_);
    xmoe::cuda::check(
        cudaMemcpyAsync(numbers.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost, nullptr),
        "cudaMemcpyAsync");
    return numbers;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

template <class T>
std::vector<T> counting(std::size_t count) {
  std::vector<T> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<T>(i);
  }
  return numbers;
}

/// The settings are as before when the test ends.
class KeptSettings {
 public:
  KeptSettings() : kept_(emulation::settings()) {}
  ~KeptSettings() { emulation::settings() = kept_; }
  KeptSettings(const KeptSettings&) = delete;
  KeptSettings& operator=(const KeptSettings&) = delete;

 private:
  emulation::Settings kept_;
};

inline constexpr bool address_sanitizer = EMULATION_ASAN != 0;
inline constexpr bool thread_sanitizer = EMULATION_TSAN != 0;

/// f in a child process, in one order of threads after another, until the thread sanitizer reports
/// a race. It knows 255 threads at a time, and overlooks races of pairs that share a number: which
/// pairs do depends on the order.
template <class F>
emulation::ChildResult race_of(F f) {
  emulation::ChildResult result;
  for (const unsigned seed : {0u, 1u, 2u, 3u}) {
    result = emulation::run_in_child([&] {
      emulation::settings().seed = seed;
      f();
    });
    if (result.says("ThreadSanitizer: data race")) {
      break;
    }
  }
  return result;
}

/// f has a race that the thread sanitizer reports, one of its accesses at that line of `file`; 0:
/// at any. Other builds do not see it.
template <class F>
void require_race([[maybe_unused]] F f, [[maybe_unused]] const char* file,
                  [[maybe_unused]] unsigned line) {
  if constexpr (thread_sanitizer) {
    const emulation::ChildResult result = race_of(f);
    INFO("status " << result.status);
    INFO(result.text);
    CHECK(result.says("ThreadSanitizer: data race"));
    const std::string path = file;
    CHECK(result.says(path.substr(path.find_last_of('/') + 1) + ":" +
                      (line == 0 ? "" : std::to_string(line))));
  }
}

/// f has an error that the address sanitizer reports by that name.
template <class F>
void require_address_error([[maybe_unused]] F f, [[maybe_unused]] const char* name) {
  if constexpr (address_sanitizer) {
    const emulation::ChildResult result = emulation::run_in_child(f);
    INFO("status " << result.status);
    INFO(result.text);
    CHECK_FALSE(result.clean());
    CHECK(result.says(name));
  }
}

/// The text of the fault that f throws; empty: none.
template <class F>
std::string fault_of(F f) {
  try {
    f();
  } catch (const emulation::fault& problem) {
    return problem.what();
  }
  return {};
}

#define CHECK_FAULT(part, ...)                               \
  do {                                                       \
    const std::string text = ::tests::fault_of(__VA_ARGS__); \
    INFO(text);                                              \
    CHECK(text.find(part) != std::string::npos);             \
  } while (false)

inline bool all_ones(float x) { return std::bit_cast<std::uint32_t>(x) == 0xffffffffu; }

}  // namespace tests
