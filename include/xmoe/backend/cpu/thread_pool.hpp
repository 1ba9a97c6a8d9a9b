// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/error.hpp>
#include <xmoe/core/executor.hpp>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace xmoe::inline XMOE_ABI::cpu {

/// Threads that wait for work: Eigen's pool of threads()-1 helpers; the caller is one more.
///
/// `run` does not allocate, may be called by several threads at once, and runs everything on the
/// calling thread when that is itself a thread of this pool.
class ThreadPool {
 public:
  /// Throws value_error if threads < 1.
  explicit ThreadPool(index threads) : threads_(checked(threads)), pool_(helpers(threads)) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  index threads() const { return threads_; }

  /// Calls task(0) .. task(workers-1), task(0) on the calling thread; returns when all are done.
  void run(index workers, Executor::Task task) {
    if (workers <= 1 || threads_ == 1 || pool_.CurrentThreadId() != -1) {
      for (index worker = 0; worker < workers; ++worker) {
        task(worker);
      }
      return;
    }
    Call call{task, {workers - 1}, this};
    for (index worker = 1; worker < workers; ++worker) {
      // Two words: std::function keeps them inside itself.
      pool_.Schedule([c = &call, worker] { c->help(worker); });
    }
    task(0);
    call.wait();
  }

 private:
  /// Our own name for the standard threads: Eigen's pool then is a type of this namespace's target,
  /// which objects compiled for another one never share.
  struct Environment : Eigen::StlThreadEnvironment {};

  struct Call {
    Executor::Task task;
    std::atomic<index> pending;
    ThreadPool* owner;

    void help(index worker) {
      task(worker);
      // The caller may return, and this object end, as soon as pending is 0: no member after that.
      ThreadPool* const pool = owner;
      if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        { const std::lock_guard lock(pool->mutex_); }
        pool->finished_.notify_all();
      }
    }
    void wait() {
      for (int spin = 0; spin < 4000; ++spin) {
        if (pending.load(std::memory_order_acquire) == 0) {
          return;
        }
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      }
      std::unique_lock lock(owner->mutex_);
      owner->finished_.wait(lock, [this] { return pending.load(std::memory_order_acquire) == 0; });
    }
  };

  static index checked(index threads) {
    if (threads < 1 || threads > 65536) {
      detail::fail<value_error>("xmoe::cpu::ThreadPool: %td threads, must be in 1 .. 65536",
                                threads);
    }
    return threads;
  }
  static int helpers(index threads) { return static_cast<int>(threads - 1); }

  index threads_;
  std::mutex mutex_;
  std::condition_variable finished_;
  Eigen::ThreadPoolTempl<Environment>
      pool_;  // last: its destructor joins the helpers, which use what is above
};

}  // namespace xmoe::inline XMOE_ABI::cpu
