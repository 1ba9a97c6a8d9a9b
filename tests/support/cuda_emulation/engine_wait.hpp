// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "engine.hpp"

#include <map>
#include <tuple>

// How the threads of a block wait for each other.

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

inline void Engine::wake(Thread** threads, std::size_t count) {
  shuffle_(threads, count);
  for (std::size_t i = 0; i < count; ++i) {
    enqueue(*threads[i]);
  }
}

/// They go on before those that wait already.
inline void Engine::wake_first(Thread** threads, std::size_t count) {
  for (std::size_t i = count; i > 0; --i) {
    threads[i - 1]->state = State::runnable;
    queue_[--head_ % most_threads] = threads[i - 1];
  }
}

/// Gives a fresh thread its fiber.
inline void Engine::begin(Thread& thread) {
  if (thread.state == State::fresh) {
    thread.stack = stacks_.take();
    prepare(thread.context, *thread.stack, &Engine::fiber_main);
    thread.state = State::runnable;
  }
}

inline void Engine::wait(State state, const char* what, const Place& place) {
  Thread& thread = *current_thread;
  thread.state = state;
  thread.waits_for = what;
  thread.waits_at = place;
  if (head_ == tail_) {
    throw fault(stuck("divergent barrier"));
  }
  Thread& next = *queue_[head_++ % most_threads];
  begin(next);
  next.state = State::runnable;
  current_thread = &next;
  switch_to(thread.context, next.context, &thread.context.fake_stack);
}

inline void Engine::open_barrier() {
  ++generation_;
  const unsigned count = std::exchange(barrier_count_, 0);
  barrier_site_ = nullptr;
  wake(at_barrier_.data(), count);
}

inline void Engine::block_barrier(Site& site) {
  const Quiet quiet;
  BarrierSite& known = site.known();
  ++known.arrivals;
  if (known.deleted) {
    return;
  }
  Thread& thread = *current_thread;
  if (barrier_count_ != 0 && barrier_site_ != &known) {
    throw fault(stuck(("divergent barrier: thread " + std::to_string(thread.linear) + " is at " +
                       Place(site.file, site.line).text())
                          .c_str()));
  }
  void* tag = barrier_tags_ == nullptr ? nullptr : barrier_tags_ + generation_ % 2;
  release(tag);
  barrier_site_ = &known;
  if (barrier_count_ + 1 == alive_) {
    open_barrier();
  } else {
    at_barrier_[barrier_count_++] = &thread;
    wait(State::at_barrier, "the block's barrier", Place(site.file, site.line));
  }
  acquire(tag);
}

/// The group's results, if all its lanes have come. They are woken, but for the running one.
inline bool Engine::complete(Warp& warp, unsigned group) {
  const Group done = warp.groups[group];
  if ((done.mask & warp.alive & ~done.arrived) != 0) {
    return false;
  }
  warp.groups[group] = warp.groups[--warp.group_count];
  done.finish(warp, done.arrived);
  std::array<Thread*, warp_size> others;
  unsigned count = 0;
  for (unsigned rest = done.arrived; rest != 0; rest &= rest - 1) {
    Thread* thread = warp.threads[static_cast<unsigned>(__builtin_ctz(rest))];
    if (thread != current_thread) {
      others[count++] = thread;
    }
  }
  // A warp goes on alone as far as it can, since few stacks stay in the cache and many do not; with
  // a seed warps take turns.
  if (shuffle_.on()) {
    wake(others.data(), count);
  } else {
    wake_first(others.data(), count);
  }
  return true;
}

inline void Engine::meet(unsigned mask, const char* operation, void (*finish)(Warp&, unsigned),
                         const Place& place) {
  Thread& thread = *current_thread;
  Warp& warp = *thread.warp;
  const unsigned bit = 1u << thread.lane;
  const auto refuse = [&](const std::string& what) {
    throw fault(place.text() + ": " + operation + " by lane " + std::to_string(thread.lane) +
                " of warp " + std::to_string(warp.number) + ": " + what);
  };
  if ((mask & bit) == 0) {
    refuse("the caller is not in its own mask");
  }
  unsigned found = warp.group_count;
  for (unsigned g = 0; g < warp.group_count; ++g) {
    const Group& group = warp.groups[g];
    if (group.mask == mask) {
      found = g;
    } else if ((group.mask & bit) != 0 && (group.arrived & mask) != 0) {
      refuse("lanes wait for each other with different masks, at " + group.place.text() + " too");
    }
  }
  if (found == warp.group_count) {
    warp.groups[warp.group_count++] = {mask, bit, operation, finish, place};
  } else {
    Group& group = warp.groups[found];
    if (group.finish != finish) {
      refuse(std::string("other lanes of the mask are in ") + group.operation + " at " +
             group.place.text());
    }
    group.arrived |= bit;
  }
  if (!complete(warp, found)) {
    wait(State::at_collective, operation, place);
  }
}

inline void Engine::warp_barrier(Site& site, unsigned mask) {
  const Quiet quiet;
  BarrierSite& known = site.known();
  ++known.arrivals;
  if (known.deleted) {
    return;
  }
  Warp& warp = *current_thread->warp;
  void* tag = nullptr;
  if (warp.tags != nullptr && mask != 0) {
    const auto lowest = static_cast<unsigned>(__builtin_ctz(mask));
    tag = warp.tags + 2 * lowest + warp.parity[lowest];
  }
  release(tag);
  // Each lane leaves the mask for the one that turns the parity.
  __builtin_memcpy(warp.slots[current_thread->lane].in, &mask, sizeof(mask));
  meet(
      mask, "__syncwarp",
      [](Warp& at, unsigned arrived) {
        const auto met = at.in<unsigned>(static_cast<unsigned>(__builtin_ctz(arrived)));
        at.parity[static_cast<unsigned>(__builtin_ctz(met))] ^= 1;
      },
      Place(site.file, site.line));
  acquire(tag);
}

/// Who waits where, for the text of an error.
inline std::string Engine::stuck(const char* reason) const {
  std::map<std::tuple<std::string, std::string>, std::vector<unsigned>> waiting;
  unsigned returned = 0;
  for (unsigned i = 0; i < thread_count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == State::at_barrier || thread.state == State::at_collective) {
      waiting[{thread.waits_for, thread.waits_at.text()}].push_back(i);
    }
    returned += thread.state == State::done ? 1 : 0;
  }
  std::string text = std::string(reason) + " in block (" + std::to_string(block_index_.x) + "," +
                     std::to_string(block_index_.y) + "," + std::to_string(block_index_.z) + ")";
  for (const auto& [what, threads] : waiting) {
    text += "; waiting for " + std::get<0>(what) + " at " + std::get<1>(what) + ": threads";
    for (std::size_t i = 0; i < threads.size();) {
      std::size_t last = i;
      while (last + 1 < threads.size() && threads[last + 1] == threads[last] + 1) {
        ++last;
      }
      text += " " + std::to_string(threads[i]);
      text += last > i ? "-" + std::to_string(threads[last]) : "";
      i = last + 1;
    }
  }
  return text + "; " + std::to_string(returned) + " have returned";
}

EMULATION_TRUSTED_END
}  // namespace emulation::detail
