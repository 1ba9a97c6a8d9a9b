// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "device_memory.hpp"
#include "shared_memory.hpp"
#include "state.hpp"
#include "trace.hpp"

#include <exception>
#include <string>
#include <utility>

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

/// Runs the blocks of a launch one after another, the threads of a block as fibers. One engine a
/// host thread. A thread runs until it waits; then the next in the queue goes on, without a detour
/// through the host. Lanes that have met go on at once, without a seed.
class Engine {
 public:
  static constexpr unsigned most_threads = 1024;

  void run(const Job& job);

  const Job& job() const { return job_; }
  uint3 block_index() const { return block_index_; }
  SharedMemory& shared() { return shared_; }
  unsigned block_number() const { return block_number_; }

  /// __syncthreads of the running thread.
  void block_barrier(Site& site);
  /// __syncwarp of the running thread.
  void warp_barrier(Site& site, unsigned mask);
  /// The running thread has laid its operand into its slot: returns when all lanes of `mask` have,
  /// and `finish` has filled their results. The last to arrive finishes for all, so that each
  /// other lane costs one switch.
  void meet(unsigned mask, const char* operation, void (*finish)(Warp&, unsigned),
            const Place& place);
  /// __threadfence: ordered with all other fences of the launch, as they happen to come.
  void fence() {
    acquire(&fence_tag_);
    release(&fence_tag_);
  }

 private:
  void run_block();
  void destroy_fibers();
  void begin_block();
  void end_block();
  static void fiber_main();
  void execute();
  void enqueue(Thread& thread) {
    thread.state = thread.state == State::fresh ? State::fresh : State::runnable;
    queue_[tail_++ % most_threads] = &thread;
  }
  void wake(Thread** threads, std::size_t count);
  void wake_first(Thread** threads, std::size_t count);
  void wait(State state, const char* what, const Place& place);
  void begin(Thread& thread);
  Context* after_return(Thread& thread);
  void abandon(Thread& thread);
  void open_barrier();
  bool complete(Warp& warp, unsigned group);
  std::string stuck(const char* reason) const;
  std::uint64_t* new_tags(std::size_t count);

  Job job_;
  uint3 block_index_{};
  unsigned block_number_ = 0;
  SharedMemory shared_;
  StackPool stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::array<Thread*, most_threads> queue_{};
  unsigned head_ = 0, tail_ = 0;
  unsigned thread_count_ = 0, alive_ = 0;

  std::array<Thread*, most_threads> at_barrier_{};
  unsigned barrier_count_ = 0, generation_ = 0;
  const BarrierSite* barrier_site_ = nullptr;
  std::uint64_t* barrier_tags_ = nullptr;

  Context host_;
  std::exception_ptr error_;
  Shuffler shuffle_;
  std::uint64_t end_tag_ = 0, fence_tag_ = 0;
  std::vector<std::vector<std::uint64_t>> tags_;
  std::vector<void*> old_fibers_;  // of the thread sanitizer
  bool running_ = false;
};

inline Engine& engine() {
  static thread_local Engine instance;
  return instance;
}

EMULATION_TRUSTED_END
}  // namespace emulation::detail

#include "engine_block.hpp"
#include "engine_wait.hpp"
