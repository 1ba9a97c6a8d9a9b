// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/thread_pool.hpp>

#include <set>
#include <thread>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using cpu::ThreadPool;
using Task = Executor::Task;

TEST_CASE("thread pool: every worker once", "[backend][threads]") {
  for (const index threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const index workers : {0, 1, 2, 3, 8, 40}) {
      for (int repeat = 0; repeat < 20; ++repeat) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(workers));
        pool.run(workers, Task([&](index worker) { ++calls[static_cast<std::size_t>(worker)]; }));
        for (const auto& c : calls) {
          CHECK(c == 1);
        }
      }
    }
  }
}

TEST_CASE("thread pool: the caller takes part", "[backend][threads]") {
  ThreadPool pool(2);
  std::thread::id first;
  pool.run(2, Task([&](index worker) {
             if (worker == 0) {
               first = std::this_thread::get_id();
             }
           }));
  CHECK(first == std::this_thread::get_id());
}

TEST_CASE("thread pool: several threads call at once", "[backend][threads]") {
  ThreadPool pool(3);
  std::atomic<index> total = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        index sum = 0;
        std::atomic<index> own = 0;
        pool.run(3, Task([&](index worker) { own += worker + 1; }));
        sum = own;
        total += sum;
      }
    });
  }
  for (std::thread& t : callers) {
    t.join();
  }
  CHECK(total == 4 * 100 * 6);
}

TEST_CASE("thread pool: calls inside of calls end", "[backend][threads]") {
  ThreadPool pool(2);
  std::atomic<int> calls = 0;
  pool.run(2, Task([&](index) { pool.run(3, Task([&](index) { ++calls; })); }));
  CHECK(calls == 6);
}

TEST_CASE("thread pool: errors", "[backend]") {
  CHECK(tests::message_of<value_error>([] { ThreadPool pool(0); }) ==
        "xmoe::cpu::ThreadPool: 0 threads, must be in 1 .. 65536");
  CHECK_THROWS_AS(ThreadPool(-3), value_error);
  CHECK_THROWS_AS(ThreadPool(65537), value_error);
}

}  // namespace
}  // namespace xmoe
