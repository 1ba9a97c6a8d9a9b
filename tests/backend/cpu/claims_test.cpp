// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/claims.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/random_case.hpp"

namespace xmoe {
namespace {

using cpu::Claims;
using tests::Generator;

const std::vector<index> worker_counts = {1, 2, 3, 7, 64, 65, 200};

/// How often each item was handed out.
struct Count {
  std::vector<int> times;
  bool outside = false;

  explicit Count(index items) : times(static_cast<std::size_t>(items), 0) {}
  void add(const Claims& claims, index batch) {
    outside = outside || claims.begin(batch) < 0 || claims.begin(batch) >= claims.end(batch);
    for (index i = claims.begin(batch); i < claims.end(batch); ++i) {
      if (i < static_cast<index>(times.size())) {
        ++times[static_cast<std::size_t>(i)];
      } else {
        outside = true;
      }
    }
  }
  bool once() const {
    return !outside && std::all_of(times.begin(), times.end(), [](int n) { return n == 1; });
  }
};

/// Lets one thread play all workers; `next` says whose turn it is.
template <class F>
bool once_each(index items, index workers, const F& next) {
  Claims claims(items, workers);
  Count count(items);
  std::vector<bool> done(static_cast<std::size_t>(workers), false);
  for (index left = workers; left > 0;) {
    const index worker = next();
    const index batch = claims.take(worker);
    if (batch >= 0) {
      count.add(claims, batch);
    } else if (!done[static_cast<std::size_t>(worker)]) {
      done[static_cast<std::size_t>(worker)] = true;
      --left;
    }
  }
  return count.once() && claims.problem() == nullptr;
}

std::vector<index> item_counts() {
  std::vector<index> counts;
  for (index n = 1; n <= 200; ++n) {
    counts.push_back(n);
  }
  counts.push_back(10'000);
  return counts;
}

TEST_CASE("claims: every item once, workers in odd orders", "[backend]") {
  for (const index workers : worker_counts) {
    int wrong = 0;
    for (const index items : item_counts()) {
      Generator random(static_cast<std::uint64_t>(1000 * workers + items));
      index turn = 0;
      const auto in_turn = [&] { return turn++ % workers; };
      const auto backwards = [&] { return workers - 1 - turn++ % workers; };
      const auto any = [&] { return random.below(workers); };
      const auto mostly_one = [&] {  // it works off its run and those of the others
        return random.below(50) > 0 ? workers / 2 : random.below(workers);
      };
      wrong += once_each(items, workers, in_turn) ? 0 : 1;
      if (items % 3 == 0) {
        wrong += once_each(items, workers, backwards) ? 0 : 1;
      }
      if (items % 7 == 0 || items == 10'000) {
        wrong += once_each(items, workers, any) ? 0 : 1;
        wrong += once_each(items, workers, mostly_one) ? 0 : 1;
      }
    }
    INFO(workers << " workers");
    CHECK(wrong == 0);
  }
}

TEST_CASE("claims: the count notices an item that is handed out twice, or never", "[backend]") {
  Claims claims(10, 2);
  Count count(10);
  for (index batch = claims.take(0); batch >= 0; batch = claims.take(0)) {
    count.add(claims, batch);
  }
  CHECK(count.once());
  count.times[3] = 2;
  CHECK_FALSE(count.once());
  count.times[3] = 0;
  CHECK_FALSE(count.once());
}

TEST_CASE("claims: a worker walks its own run from front to back", "[backend]") {
  const index items = 10'000, workers = 4;
  Claims claims(items, workers);
  for (index worker = workers - 1; worker >= 0; --worker) {  // a quarter each
    index item = items * worker / workers;
    bool in_order = true;
    while (item < items * (worker + 1) / workers - 100) {
      const index batch = claims.take(worker);
      REQUIRE(batch >= 0);
      in_order = in_order && std::abs(claims.begin(batch) - item) < 100;
      item = claims.end(batch);
    }
    CHECK(in_order);
  }
}

TEST_CASE("claims: who is done takes the rear half of another run", "[backend]") {
  Claims claims(64, 2);  // single items: 0..31 and 32..63
  for (index i = 0; i < 32; ++i) {
    CHECK(claims.take(0) == i);
  }
  CHECK(claims.take(0) == 48);
  CHECK(claims.take(0) == 49);
  CHECK(claims.take(1) == 32);
  for (index i = 50; i < 64; ++i) {
    CHECK(claims.take(0) == i);
  }
  CHECK(claims.take(0) == 40);
}

TEST_CASE("claims: every item once, real threads", "[backend][threads]") {
  for (const index workers : worker_counts) {
    for (const index items : {1, 5, 63, 200, 10'000}) {
      const auto times =
          std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(items));  // zeros
      Claims claims(items, workers);
      std::vector<std::thread> threads;
      for (index worker = 0; worker < workers; ++worker) {
        threads.emplace_back([&, worker] {
          for (index batch = claims.take(worker); batch >= 0; batch = claims.take(worker)) {
            for (index i = claims.begin(batch); i < claims.end(batch); ++i) {
              times[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
            }
          }
        });
      }
      for (std::thread& thread : threads) {
        thread.join();
      }
      index wrong = 0;
      for (index i = 0; i < items; ++i) {
        wrong += times[static_cast<std::size_t>(i)] == 1 ? 0 : 1;
      }
      INFO(workers << " workers, " << items << " items");
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("claims: after a failure nobody gets anything", "[backend]") {
  for (const index workers : worker_counts) {
    Claims claims(10'000, workers);
    CHECK(claims.take(0) >= 0);
    CHECK(claims.problem() == nullptr);
    for (const char* text : {"first", "second"}) {
      try {
        throw std::runtime_error(text);
      } catch (...) {
        claims.fail();
      }
    }
    for (index worker = 0; worker < workers; ++worker) {
      CHECK(claims.take(worker) == -1);
    }
    REQUIRE(claims.problem() != nullptr);
    CHECK_THROWS_WITH(std::rethrow_exception(claims.problem()), "first");
  }
}

TEST_CASE("claims: a failure stops all threads", "[backend][threads]") {
  for (const index workers : {2, 7, 65}) {
    const index items = 10'000;
    const auto times = std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(items));
    Claims claims(items, workers);
    std::atomic<bool> failed = false;
    std::vector<std::thread> threads;
    for (index worker = 0; worker < workers; ++worker) {
      threads.emplace_back([&, worker] {
        try {
          for (index batch = claims.take(worker); batch >= 0; batch = claims.take(worker)) {
            for (index i = claims.begin(batch); i < claims.end(batch); ++i) {
              times[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
            }
            if (worker == 0) {
              throw std::runtime_error("stop");
            }
            while (!failed) {  // the others hold their first batch until then
              std::this_thread::yield();
            }
          }
        } catch (...) {
          claims.fail();
          failed = true;
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    index most = 0, handed_out = 0;
    for (index i = 0; i < items; ++i) {
      const index n = times[static_cast<std::size_t>(i)];
      most = n > most ? n : most;
      handed_out += n;
    }
    INFO(workers << " workers");
    CHECK(most == 1);
    CHECK(handed_out <= workers * claims.end(0));  // a batch each, abandoned were the others
    REQUIRE(claims.problem() != nullptr);
    CHECK_THROWS_WITH(std::rethrow_exception(claims.problem()), "stop");
  }
}

}  // namespace
}  // namespace xmoe
