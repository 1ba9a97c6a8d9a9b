// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cuda/backend.cuh>

#include "emulation_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

TEST_CASE("backend: a stream, its owner, whether there is a device", "[cuda]") {
  CHECK(cuda::available());
  cuda::Stream a;
  const cudaStream_t stream = a.get();
  REQUIRE(stream != nullptr);
  cuda::Stream b(std::move(a));
  CHECK(a.get() == nullptr);
  const cuda::Backend backend(b);
  CHECK(backend.stream() == stream);
  CHECK(cuda::Backend().stream() == nullptr);
  const auto before = emulation::counters().synchronizations;
  backend.synchronize();
  b.synchronize();
  CHECK(emulation::counters().synchronizations == before + 2);
}

TEST_CASE("backend: no device is an error that says so", "[cuda][error]") {
  const KeptSettings kept;
  emulation::settings().devices = 0;
  CHECK_FALSE(cuda::available());
  CHECK(cudaGetLastError() == cudaSuccess);  // asking leaves nothing behind
  std::string text;
  try {
    const cuda::Backend backend;
  } catch (const cuda_error& e) {
    text = e.what();
  }
  INFO(text);
  CHECK(text.find("xmoe::cuda::Backend") == 0);
}

}  // namespace
}  // namespace tests
