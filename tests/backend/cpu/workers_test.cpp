// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/workers.hpp>

#include <stdexcept>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using cpu::Workers;

TEST_CASE("workers: every item once, by a worker in range", "[backend][threads]") {
  for (const index threads : {1, 2, 3}) {
    const Workers workers(threads);
    CHECK(workers.threads() == threads);
    for (const index items : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(items));
      std::atomic<bool> in_range = true;
      workers.parallel(items, [&](index item, index worker) {
        ++calls[static_cast<std::size_t>(item)];
        if (worker < 0 || worker >= threads) {
          in_range = false;
        }
      });
      CHECK(in_range);
      for (const auto& c : calls) {
        CHECK(c == 1);
      }
    }
  }
}

TEST_CASE("workers: every row once", "[backend][threads]") {
  for (const index threads : {1, 2, 3}) {
    const Workers workers(threads);
    for (const index rows : {0, 1, 16, 17, 100}) {
      for (const index grain : {-1, 0, 1, 8, 100, 1000}) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(rows));
        workers.for_each_row(rows, grain,
                             [&](index row) { ++calls[static_cast<std::size_t>(row)]; });
        INFO(threads << " threads, " << rows << " rows, grain " << grain);
        CHECK(std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c == 1; }));
      }
    }
  }
}

TEST_CASE("workers: what a body throws arrives, and the threads go on", "[backend][threads]") {
  for (const index threads : {1, 2, 3}) {
    const Workers workers(threads);
    for (int repeat = 0; repeat < 10; ++repeat) {
      std::string text;
      try {
        workers.parallel(100, [&](index item, index) {
          if (item == 13) {
            throw std::runtime_error("thirteen");
          }
        });
      } catch (const std::runtime_error& e) {
        text = e.what();
      }
      CHECK(text == "thirteen");
      std::atomic<int> calls = 0;
      workers.parallel(10, [&](index, index) { ++calls; });
      CHECK(calls == 10);
    }
  }
}

TEST_CASE("workers: somebody else's threads", "[backend][threads]") {
  struct Pool {
    index used = 0;
    index threads() const { return 4; }
    void run(index workers, Executor::Task task) {
      used = workers;
      for (index w = workers; w-- > 0;) {
        task(w);  // one after the other, backwards
      }
    }
  } pool;
  const Workers workers(Executor::of(pool));
  CHECK(workers.threads() == 4);
  index sum = 0;
  workers.parallel(10, [&](index item, index) { sum += item; });
  CHECK(sum == 45);
  CHECK(pool.used == 4);
  workers.parallel(3, [&](index, index) {});
  CHECK(pool.used == 3);  // no more workers than items
  CHECK(Workers(Executor::serial()).threads() == 1);
}

TEST_CASE("workers: copies share, errors", "[backend]") {
  const Workers one(2);
  const Workers two = one;
  CHECK(two.threads() == 2);
  CHECK(Workers().threads() >= 1);
  CHECK(tests::message_of<value_error>([] { Workers(index(0)); }) ==
        "xmoe::cpu::Backend: 0 threads, must be at least 1");
}

}  // namespace
}  // namespace xmoe
