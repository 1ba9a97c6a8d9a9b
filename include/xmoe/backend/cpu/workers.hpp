// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cpu/claims.hpp>
#include <xmoe/backend/cpu/thread_pool.hpp>

#include <memory>

namespace xmoe::inline XMOE_ABI::cpu {

/// How products are cut and how far they ask ahead. Changes speed alone: results are the same bits
/// for every value. The defaults were measured on one kind of processor, AMD Zen 5; see autotune.
struct Tuning {
  index items_per_thread = 12;        ///< pieces of a product by expert
  index column_items_per_thread = 4;  ///< pieces of a product by columns of the output
  index cache_bytes = 600 * 1024;     ///< of the second-level cache, for rows and panels
  index distance = 8192;              ///< bytes that a lone strip of rows asks ahead

  bool operator==(const Tuning&) const = default;
};

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
  const Tuning& tuning() const { return tuning_; }
  /// Throws value_error unless all numbers are positive.
  void set_tuning(const Tuning& t) {
    if (t.items_per_thread < 1 || t.column_items_per_thread < 1 || t.cache_bytes < 1 ||
        t.distance < 1) {
      detail::fail<value_error>(
          "xmoe::cpu::Backend::set_tuning: items_per_thread %td, column_items_per_thread %td, "
          "cache_bytes %td, distance %td: all must be at least 1",
          t.items_per_thread, t.column_items_per_thread, t.cache_bytes, t.distance);
    }
    tuning_ = t;
  }

  /// Runs body(item, worker) for every item in [0,items), worker in [0,threads()).
  ///
  /// Every worker walks a run of neighbouring items from its start to its end, so that what one
  /// item fetches ahead is there for the next; who is done takes half of what another has left.
  /// What a body throws is caught, the items that nobody has claimed are abandoned, and the first
  /// exception is thrown again here.
  template <class F>
  void parallel(index items, F&& body) const {
    if (items <= 1 || threads_ == 1) {
      for (index item = 0; item < items; ++item) {
        body(item, index(0));
      }
      return;
    }
    Claims claims(items, threads_);
    const auto work = [&](index worker) {
#if XMOE_EXCEPTIONS
      try {
#endif
        for (index batch = claims.take(worker); batch >= 0; batch = claims.take(worker)) {
          for (index item = claims.begin(batch); item < claims.end(batch); ++item) {
            body(item, worker);
          }
        }
#if XMOE_EXCEPTIONS
      } catch (...) {
        claims.fail();
      }
#endif
    };
    executor_.run(items < threads_ ? items : threads_, Executor::Task(work));
#if XMOE_EXCEPTIONS
    if (claims.problem()) {
      std::rethrow_exception(claims.problem());
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
  static index hardware() {
    const index n = static_cast<index>(std::thread::hardware_concurrency());
    return n < 1 ? 1 : n;
  }

  std::shared_ptr<ThreadPool> pool_;
  Executor executor_ = Executor::serial();
  index threads_ = 1;
  Tuning tuning_{};
};

}  // namespace xmoe::inline XMOE_ABI::cpu
