// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/error.hpp>
#include <xmoe/core/executor.hpp>

#if !defined(_OPENMP)
#error "xmoe/interop/openmp.hpp needs -fopenmp"
#endif
#include <omp.h>

namespace xmoe::inline XMOE_ABI::interop {

/// Threads of an OpenMP program: `OpenMp threads(2); cpu::Backend backend(Executor::of(threads));`
///
///   throws  value_error if threads < 1
class OpenMp {
 public:
  explicit OpenMp(index threads) : threads_(threads) {
    if (threads < 1) {
      detail::fail<value_error>("xmoe::interop::OpenMp: %td threads, must be 1 or more", threads);
    }
  }
  index threads() const { return threads_; }
  void run(index workers, Executor::Task task) const {
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(threads_))
    for (index worker = 0; worker < workers; ++worker) {
      task(worker);
    }
  }

 private:
  index threads_;
};

}  // namespace xmoe::inline XMOE_ABI::interop
