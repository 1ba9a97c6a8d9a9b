// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/executor.hpp>

#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

/// A user's own pool: one thread a worker.
struct ThreadAWorker {
  index count = 0;
  int calls = 0;

  index threads() const { return count; }
  void run(index workers, Executor::Task task) {
    ++calls;
    std::vector<std::thread> started;
    for (index worker = 0; worker < workers; ++worker) {
      started.emplace_back([=] { task(worker); });
    }
    for (std::thread& thread : started) {
      thread.join();
    }
  }
};

TEST_CASE("the serial executor runs every worker in order, here", "[core][executor]") {
  const Executor executor = Executor::serial();
  CHECK(executor.threads() == 1);
  std::vector<index> seen;
  const auto here = std::this_thread::get_id();
  const auto body = [&](index worker) {
    CHECK(std::this_thread::get_id() == here);
    seen.push_back(worker);
  };
  executor.run(4, Executor::Task(body));
  CHECK(seen == std::vector<index>{0, 1, 2, 3});
  executor.run(0, Executor::Task(body));
  CHECK(seen.size() == 4);
}

TEST_CASE("any object with threads and run is an executor", "[core][executor]") {
  ThreadAWorker pool{3};
  const Executor executor = Executor::of(pool);
  CHECK(executor.threads() == 3);
  std::vector<int> hits(3);
  const auto body = [&](index worker) { ++hits[static_cast<std::size_t>(worker)]; };
  executor.run(3, Executor::Task(body));
  CHECK(hits == std::vector<int>{1, 1, 1});
  CHECK(pool.calls == 1);
  // one worker needs no pool
  executor.run(1, Executor::Task(body));
  CHECK(hits == std::vector<int>{2, 1, 1});
  CHECK(pool.calls == 1);
}

}  // namespace
