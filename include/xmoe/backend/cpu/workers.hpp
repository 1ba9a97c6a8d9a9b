// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/thread_pool.hpp>

#include <memory>

namespace xmoe::inline XMOE_ABI::cpu {

/// Shares out numbered pieces of work among threads. Copies share the threads.
class Workers {
 public:
  /// As many threads as the machine runs at once.
  Workers() : Workers(hardware()) {}
  /// 1 = everything on the calling thread, no pool. Throws value_error if threads < 1.
  explicit Workers(index threads) {
    if (threads < 1) {
      detail::fail<value_error>("xmoe::cpu::Backend: %td threads, must be at least 1", threads);
    }
    if (threads > 1) {
      pool_ = std::make_shared<ThreadPool>(threads);
      executor_ = Executor::of(*pool_);
    }
    threads_ = threads;
  }
  /// Somebody else's threads, which must outlive every copy.
  explicit Workers(Executor executor) : executor_(executor), threads_(executor.threads()) {
    threads_ = threads_ < 1 ? 1 : threads_;
  }

  index threads() const { return threads_; }

  /// Runs body(item, worker) for every item in [0,items), worker in [0,threads()).
  ///
  /// Workers claim items one by one, so the lower numbers start first. What a body throws is
  /// caught, the items that nobody has claimed are abandoned, and the first exception is thrown
  /// again here.
  template <class F>
  void parallel(index items, F&& body) const {
    if (items <= 1 || threads_ == 1) {
      for (index item = 0; item < items; ++item) {
        body(item, index(0));
      }
      return;
    }
    Claims claims;
    const auto work = [&](index worker) {
#if XMOE_EXCEPTIONS
      try {
#endif
        for (index item = claims.take(); item < items; item = claims.take()) {
          body(item, worker);
        }
#if XMOE_EXCEPTIONS
      } catch (...) {
        claims.fail(items);
      }
#endif
    };
    executor_.run(items < threads_ ? items : threads_, Executor::Task(work));
#if XMOE_EXCEPTIONS
    if (claims.problem) {
      std::rethrow_exception(claims.problem);
    }
#endif
  }

  /// Runs body(row) for every row in [0,rows), about `grain` rows at a time.
  template <class F>
  void for_each_row(index rows, index grain, F&& body) const {
    grain = grain < 1 ? 1 : grain;
    const index items = threads_ == 1 ? 1 : (rows + grain - 1) / grain;
    const index size = items <= 1 ? rows : grain;
    parallel(items, [&](index item, index) {
      const index begin = item * size;
      const index end = begin + size < rows ? begin + size : rows;
      for (index row = begin; row < end; ++row) {
        body(row);
      }
    });
  }

 private:
  struct Claims {
    alignas(64) std::atomic<index> next = 0;
    std::atomic<bool> failed = false;
    std::exception_ptr problem;

    index take() { return next.fetch_add(1, std::memory_order_relaxed); }
    void fail(index items) {
      next.store(items, std::memory_order_relaxed);
      if (!failed.exchange(true)) {
        problem = std::current_exception();
      }
    }
  };

  static index hardware() {
    const index n = static_cast<index>(std::thread::hardware_concurrency());
    return n < 1 ? 1 : n;
  }

  std::shared_ptr<ThreadPool> pool_;
  Executor executor_ = Executor::serial();
  index threads_ = 1;
};

}  // namespace xmoe::inline XMOE_ABI::cpu
