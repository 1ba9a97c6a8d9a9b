// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sanitizer.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if !defined(__x86_64__)
#define EMULATION_UCONTEXT 1  // may also be defined by hand, to test this way on x86-64
#endif
#if defined(EMULATION_UCONTEXT)
#include <ucontext.h>
#endif

namespace emulation::detail {

/// A stack with a page below it that may not be touched: an overflow is a fault, not a corruption.
class Stack {
 public:
  static constexpr std::size_t bytes = EMULATION_TSAN ? 128 << 10 : 256 << 10;

  explicit Stack(std::size_t color) : color_(color) {
    page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* p = ::mmap(nullptr, page_ + bytes, PROT_NONE, flags, -1, 0);
    if (p == MAP_FAILED) {
      throw std::bad_alloc();
    }
    base_ = static_cast<std::byte*>(p);
    if (::mprotect(bottom(), bytes, PROT_READ | PROT_WRITE) != 0) {
      throw std::bad_alloc();
    }
  }
  ~Stack() { ::munmap(base_, page_ + bytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  std::byte* bottom() const { return base_ + page_; }
  /// Where a fiber begins. Stacks begin at different offsets within a page, so that the warm parts
  /// of hundreds of stacks do not fall into the same few sets of the cache.
  std::byte* top() const { return bottom() + bytes - 64 - color_ % 61 * 64; }

  /// Forgets what the sanitizers know of the fiber that ended here: its last frame never returned.
  void renew() {
    unpoison(bottom(), bytes);
#if EMULATION_TSAN
    // Under a Quiet a mapping resets the history instead of counting as a write. Only the pages
    // that were used: all would be the better part of a launch's time.
    std::array<unsigned char, bytes / 4096> used{};
    const std::size_t pages = bytes / page_;
    std::size_t first = 0;
    const Quiet quiet;
    ::mincore(bottom(), bytes, used.data());
    while (first < pages && (used[first] & 1) == 0) {
      ++first;
    }
    if (first < pages) {
      ::mmap(bottom() + first * page_, bytes - first * page_, PROT_READ | PROT_WRITE,
             flags | MAP_FIXED, -1, 0);
    }
#endif
  }

  /// The address sanitizer's second stack, used again by the next fiber: it is dear to make.
  void* fake_stack = nullptr;

 private:
  static constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  std::size_t color_, page_;
  std::byte* base_;
};

/// Stacks are kept and used again, the last one first.
class StackPool {
 public:
  Stack* take() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<Stack>(all_.size()));
      free_.reserve(all_.size());
      return all_.back().get();
    }
    Stack* stack = free_.back();
    free_.pop_back();
    stack->renew();
    return stack;
  }
  void give(Stack* stack) { free_.push_back(stack); }

 private:
  std::vector<std::unique_ptr<Stack>> all_;
  std::vector<Stack*> free_;
};

/// Where a fiber, or the host, stands while another one runs.
struct Context {
#if defined(EMULATION_UCONTEXT)
  ucontext_t machine;
#else
  void* machine = nullptr;  // the stack pointer; the rest lies on the stack
#endif
  const void* bottom = nullptr;  // of the stack; of the host's: learnt when it is left
  std::size_t size = 0;
  void* fake_stack = nullptr;  // of the address sanitizer
  void* fiber = nullptr;       // of the thread sanitizer
};

#if !defined(EMULATION_UCONTEXT)
/// Saves what a function has to preserve on the running stack, goes on from where `to` was saved.
__attribute__((naked, noinline)) inline void swap_stacks(void** /*from*/, void* /*to*/) {
  asm volatile(
      "pushq %rbp\n\t"
      "pushq %rbx\n\t"
      "pushq %r12\n\t"
      "pushq %r13\n\t"
      "pushq %r14\n\t"
      "pushq %r15\n\t"
      "movq %rsp, (%rdi)\n\t"
      "movq %rsi, %rsp\n\t"
      "popq %r15\n\t"
      "popq %r14\n\t"
      "popq %r13\n\t"
      "popq %r12\n\t"
      "popq %rbx\n\t"
      "popq %rbp\n\t"
      "ret");
}
#endif

/// Lets `context` begin with entry() on the stack. entry never returns.
inline void prepare(Context& context, Stack& stack, void (*entry)()) {
  context.bottom = stack.bottom();
  context.size = Stack::bytes;
  context.fake_stack = nullptr;
#if defined(EMULATION_UCONTEXT)
  ::getcontext(&context.machine);
  context.machine.uc_stack.ss_sp = stack.bottom();
  context.machine.uc_stack.ss_size = static_cast<std::size_t>(stack.top() - stack.bottom());
  context.machine.uc_link = nullptr;
  ::makecontext(&context.machine, entry, 0);
#else
  // Six registers, the address to return to, and a zero where a caller's address would be. The top
  // is a multiple of 64: at the entry the stack pointer is 8 beyond one of 16, as a call leaves it.
  std::uintptr_t words[8] = {};
  words[6] = reinterpret_cast<std::uintptr_t>(entry);
  std::byte* start = stack.top() - sizeof(words);
  std::memcpy(start, words, sizeof(words));
  context.machine = start;
#endif
}

/// What a fiber does first: tells the address sanitizer on which stack it runs. `from`: who ran.
EMULATION_UNCHECKED inline void arrived([[maybe_unused]] Context* from,
                                        [[maybe_unused]] void* fake_stack) {
#if EMULATION_ASAN
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
  if (from != nullptr && from->bottom == nullptr) {
    from->bottom = bottom;
    from->size = size;
  }
#endif
}

/// Runs `to` until somebody switches back. The address sanitizer's part of the stack that is left
/// is kept in `fake_stack`.
EMULATION_UNCHECKED inline void switch_to(Context& from, Context& to,
                                          [[maybe_unused]] void** fake_stack) {
#if EMULATION_ASAN
  __sanitizer_start_switch_fiber(fake_stack, to.bottom, to.size);
#endif
#if EMULATION_TSAN
  __tsan_switch_to_fiber(to.fiber, 1);  // 1: a switch orders nothing
#endif
#if defined(EMULATION_UCONTEXT)
  ::swapcontext(&from.machine, &to.machine);
#else
  swap_stacks(&from.machine, to.machine);
#endif
  arrived(nullptr, from.fake_stack);
}

}  // namespace emulation::detail
