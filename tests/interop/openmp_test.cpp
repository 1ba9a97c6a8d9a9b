// SPDX-License-Identifier: Apache-2.0
#include "support/catch.hpp"
#include "support/policy_case.hpp"

// Compiled with -fopenmp where the build has it; else only the place is kept.
#if defined(_OPENMP)
#include <xmoe/interop/openmp.hpp>

#include <atomic>

namespace xmoe {
namespace {

TEST_CASE("openmp: every worker once", "[interop][threads]") {
  for (const index threads : {1, 2, 3}) {
    interop::OpenMp pool(threads);
    CHECK(pool.threads() == threads);
    const Executor executor = Executor::of(pool);
    for (const index workers : {0, 1, 2, 7, 40}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(workers));
      executor.run(workers, Executor::Task(
                                [&](index worker) { ++calls[static_cast<std::size_t>(worker)]; }));
      for (const auto& c : calls) {
        CHECK(c == 1);
      }
    }
  }
}

TEST_CASE("openmp: a backend on it computes the same bits", "[interop][threads]") {
  tests::Generator random(1);
  const index rows = 40, dim = 70, out = 90;
  const auto a = tests::narrow<float>(tests::normals(random, rows * dim));
  Panels<float> w(1, out, dim);
  w.load(tests::narrow<float>(tests::normals(random, w.size())));
  const index offsets[2] = {0, rows};
  const auto product = [&](const cpu::Backend& backend) {
    std::vector<float> y(static_cast<std::size_t>(rows * w.padded_rows()));
    Workspace scratch(1 << 22);
    backend.grouped_forward(scratch, Groups{1, offsets, rows}, Rows<float>{a.data(), dim, nullptr},
                            w, [&](index, index m, index first, const float* sums) {
                              std::memcpy(y.data() + m * w.padded_rows() + first, sums,
                                          sizeof(float) * Panels<float>::width);
                            });
    return y;
  };
  interop::OpenMp pool(2);
  CHECK(tests::same_bits(product(cpu::Backend(Executor::of(pool))), product(cpu::Backend(1))));
}

TEST_CASE("openmp: errors", "[interop]") {
  CHECK(tests::message_of<value_error>([] { interop::OpenMp(0); }) ==
        "xmoe::interop::OpenMp: 0 threads, must be 1 or more");
}

}  // namespace
}  // namespace xmoe

#else

TEST_CASE("openmp: not compiled with -fopenmp, nothing to test", "[interop]") {
  WARN("built without -fopenmp: interop/openmp.hpp is not tested");
}

#endif
