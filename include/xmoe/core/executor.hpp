// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

namespace xmoe::inline XMOE_ABI {

/// How a backend reaches threads: a reference to somebody's pool, two words and a function.
///
/// `run(workers, task)` calls `task(worker)` once for every worker in 0 .. workers-1, in any order
/// and on any threads, possibly one after the other on the calling thread, and returns when all
/// have returned. That is all that is asked of a pool; work is shared out inside the task, so
/// results do not depend on the executor. Tasks do not throw.
///
/// Ready ones: Executor::serial(), cpu::ThreadPool (Eigen's pool), interop/openmp.hpp, and
/// Executor::of(pool) for any object with `index threads()` and `void run(index, Task)`.
class Executor {
 public:
  /// What a worker does.
  class Task {
   public:
    template <class F>
    explicit Task(const F& body)
        : body_(&body),
          call_([](const void* f, index worker) { (*static_cast<const F*>(f))(worker); }) {}
    void operator()(index worker) const { call_(body_, worker); }

   private:
    const void* body_;
    void (*call_)(const void*, index);
  };

  /// Everything on the calling thread.
  static Executor serial() { return Executor(); }

  /// A reference to `pool`, which must outlive every use.
  template <class Pool>
  static Executor of(Pool& pool) {
    Executor result;
    result.pool_ = &pool;
    result.threads_ = [](void* p) -> index { return static_cast<Pool*>(p)->threads(); };
    result.run_ = [](void* p, index workers, Task task) {
      static_cast<Pool*>(p)->run(workers, task);
    };
    return result;
  }

  index threads() const { return pool_ == nullptr ? 1 : threads_(pool_); }
  void run(index workers, Task task) const {
    if (pool_ == nullptr || workers <= 1) {
      for (index worker = 0; worker < workers; ++worker) {
        task(worker);
      }
    } else {
      run_(pool_, workers, task);
    }
  }

 private:
  void* pool_ = nullptr;
  index (*threads_)(void*) = nullptr;
  void (*run_)(void*, index, Task) = nullptr;
};

}  // namespace xmoe::inline XMOE_ABI
