// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "engine.hpp"

// How a launch and its blocks run.

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

/// Memory whose addresses stand for orderings, alive until the launch ends; only for the thread
/// sanitizer.
inline std::uint64_t* Engine::new_tags(std::size_t count) {
  if (EMULATION_TSAN) {
    tags_.emplace_back(count);
    return tags_.back().data();
  }
  return nullptr;
}

inline void Engine::destroy_fibers() {
#if EMULATION_TSAN
  for (void* fiber : std::exchange(old_fibers_, {})) {
    __tsan_destroy_fiber(fiber);
  }
#endif
}

inline void Engine::begin_block() {
  const Job& job = job_;
  thread_count_ = job.block.x * job.block.y * job.block.z;
  alive_ = thread_count_;
  head_ = tail_ = barrier_count_ = generation_ = 0;
  barrier_site_ = nullptr;
  if (threads_.size() < thread_count_) {
    threads_.resize(thread_count_);
    warps_.resize((thread_count_ + warp_size - 1) / warp_size);
  }
  shared_.begin_block(job.shared_bytes);
  barrier_tags_ = new_tags(2);
  // A destroyed fiber's number is used again, and then its accesses look like the new one's. There
  // is room for some 8000.
  if (old_fibers_.size() > 4096) {
    destroy_fibers();
  }
  std::array<Thread*, most_threads> order;
  for (unsigned i = 0; i < thread_count_; ++i) {
    Thread& thread = threads_[i];
    thread.index = {i % job.block.x, i / job.block.x % job.block.y, i / job.block.x / job.block.y};
    thread.linear = i;
    thread.lane = i % warp_size;
    thread.warp = &warps_[i / warp_size];
    thread.engine = this;
    thread.state = State::fresh;
    thread.open_copies.clear();
    thread.committed_copies.clear();
#if EMULATION_TSAN
    thread.context.fiber = __tsan_create_fiber(0);
    old_fibers_.push_back(thread.context.fiber);
#endif
    if (thread.lane == 0) {
      Warp& warp = *thread.warp;
      warp.number = i / warp_size;
      warp.alive = 0;
      warp.group_count = 0;
      warp.parity = {};
      warp.tags = new_tags(2 * warp_size);
    }
    thread.warp->alive |= 1u << thread.lane;
    thread.warp->threads[thread.lane] = &thread;
    order[i] = &thread;
  }
  wake(order.data(), thread_count_);
  trace_begin_block(threads_.data(), thread_count_);
}

/// Runs the kernel as the running thread.
inline void Engine::execute() {
  try {
    job_.call(job_.data);
  } catch (...) {
    error_ = std::current_exception();
  }
}

/// What a fiber does: one CUDA thread after another, as long as fresh ones come next.
EMULATION_UNCHECKED inline void Engine::fiber_main() {
  Engine& engine = *current_thread->engine;
  Stack* stack = current_thread->stack;
  void* fake_stack = stack->fake_stack;
  stack->fake_stack = nullptr;
  arrived(&engine.host_, fake_stack);
  Context* next = nullptr;
  Context* own = nullptr;
  do {
    engine.execute();
    own = &current_thread->context;
    next = engine.after_return(*current_thread);
  } while (next == nullptr);
  switch_to(*own, *next, &stack->fake_stack);
}

/// A thread has returned, or thrown. Who goes on; null: the running thread is a fresh one now, on
/// the same stack.
inline Context* Engine::after_return(Thread& thread) {
  release(&end_tag_);
  const Quiet quiet;
  thread.state = State::done;
  if (error_ != nullptr) {
    return &host_;
  }
  Warp& warp = *thread.warp;
  warp.alive &= ~(1u << thread.lane);
  --alive_;
  try {
    for (unsigned g = 0; g < warp.group_count;) {  // lanes that return count as having come
      g += complete(warp, g) ? 0u : 1u;
    }
  } catch (...) {
    error_ = std::current_exception();
  }
  if (error_ != nullptr) {
    return &host_;
  }
  if (alive_ != 0 && barrier_count_ == alive_) {
    open_barrier();
  }
  if (head_ == tail_) {
    if (alive_ != 0) {
      error_ = std::make_exception_ptr(fault(stuck("divergent barrier")));
    }
    return &host_;
  }
  Thread& next = *queue_[head_++ % most_threads];
  if (!EMULATION_TSAN && next.state == State::fresh) {
    next.stack = std::exchange(thread.stack, nullptr);
    next.context.bottom = thread.context.bottom;
    next.context.size = thread.context.size;
    next.state = State::runnable;
    current_thread = &next;
    return nullptr;
  }
  Stack* old = std::exchange(thread.stack, nullptr);
  begin(next);  // not on the stack that runs now
  stacks_.give(old);
  next.state = State::runnable;
  current_thread = &next;
  return &next.context;
}

/// Threads that wait when the launch has failed are never continued: ends what their waiting began.
EMULATION_UNCHECKED inline void Engine::abandon([[maybe_unused]] Thread& thread) {
#if EMULATION_TSAN
  __tsan_switch_to_fiber(thread.context.fiber, 1);
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_release(&end_tag_);
  __tsan_switch_to_fiber(host_.fiber, 1);
#endif
}

inline void Engine::run_block() {
  begin_block();
  Thread& first = *queue_[head_++ % most_threads];
  begin(first);
  current_thread = &first;
  switch_to(host_, first.context, &host_.fake_stack);
  current_thread = nullptr;
  for (unsigned i = 0; i < thread_count_; ++i) {
    Thread& thread = threads_[i];
    if (thread.stack != nullptr) {
      stacks_.give(std::exchange(thread.stack, nullptr));
      if (thread.state != State::done) {
        abandon(thread);
      }
    }
  }
  end_block();
}

inline void Engine::end_block() {
  trace_end_block();
  const bool overrun = !shared_.end_block();
  if (error_ == nullptr && overrun) {
    error_ = std::make_exception_ptr(fault("block " + std::to_string(block_number_) +
                                           " wrote past the end of its shared memory of " +
                                           std::to_string(job_.shared_bytes) + " bytes"));
  }
}

inline void Engine::run(const Job& job) {
  if (running_) {
    throw fault("a kernel launched a kernel");
  }
  const OpenDevice open;
  {
    const Quiet quiet;
    running_ = true;
    job_ = job;
    error_ = nullptr;
    shuffle_.seed(settings().seed);
#if EMULATION_TSAN
    host_.fiber = __tsan_get_current_fiber();
#endif
    const std::size_t blocks = static_cast<std::size_t>(job.grid.x) * job.grid.y * job.grid.z;
    std::vector<unsigned> order;
    if (shuffle_.on()) {
      order.resize(blocks);
      for (std::size_t b = 0; b < blocks; ++b) {
        order[b] = static_cast<unsigned>(b);
      }
      shuffle_(order.data(), blocks);
    }
    for (std::size_t b = 0; b < blocks && error_ == nullptr; ++b) {
      block_number_ = order.empty() ? static_cast<unsigned>(b) : order[b];
      block_index_ = {block_number_ % job.grid.x, block_number_ / job.grid.x % job.grid.y,
                      block_number_ / job.grid.x / job.grid.y};
      run_block();
    }
    trace_end_launch();
    destroy_fibers();  // all: a child of a process with fibers counts as one of many threads, and
                       // the thread sanitizer ignores it
    shared_.end_launch();
    tags_.clear();
    running_ = false;
    atomic_counters().blocks += static_cast<long>(blocks);
    atomic_counters().threads +=
        static_cast<long>(blocks) * static_cast<long>(job.block.x * job.block.y * job.block.z);
  }
  acquire(&end_tag_);
  if (error_ == nullptr) {
    check_canaries();
  }
  if (error_ != nullptr) {
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

EMULATION_TRUSTED_END
}  // namespace emulation::detail
