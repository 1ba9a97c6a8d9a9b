// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <initializer_list>
#include <vector>

// What the sanitizers have to be told about fibers. Without a sanitizer everything here is empty.

#if defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#endif
#if !defined(EMULATION_ASAN)
#define EMULATION_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define EMULATION_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EMULATION_TSAN 1
#endif
#endif
#if !defined(EMULATION_TSAN)
#define EMULATION_TSAN 0
#endif

#if EMULATION_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old,
                                     std::size_t* size_old);
void __asan_poison_memory_region(const volatile void* address, std::size_t size);
void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
}
#endif
#if EMULATION_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
}
#endif

#if EMULATION_TSAN
#define EMULATION_UNCHECKED __attribute__((noinline, no_sanitize("thread")))
#elif EMULATION_ASAN
#define EMULATION_UNCHECKED __attribute__((noinline, no_sanitize("address")))
#else
#define EMULATION_UNCHECKED __attribute__((noinline))
#endif

/// Between these two the emulation's own functions stand, which the address and undefined behavior
/// sanitizers do not look at: they would take most of the time, in builds without optimization.
/// What kernels touch is touched elsewhere.
#if EMULATION_ASAN && defined(__clang__)
#define EMULATION_PRAGMA(...) _Pragma(#__VA_ARGS__)
#define EMULATION_TRUSTED_BEGIN                                                               \
  EMULATION_PRAGMA(clang attribute push(__attribute__((no_sanitize("address", "undefined"))), \
                                        apply_to = function))
#define EMULATION_TRUSTED_END _Pragma("clang attribute pop")
#else
#define EMULATION_TRUSTED_BEGIN
#define EMULATION_TRUSTED_END
#endif

namespace emulation {

/// Sizes that a test goes through: `all`, or `some` where a sanitizer makes everything ten times
/// slower and looks for other errors than wrong numbers.
inline std::vector<int> sizes([[maybe_unused]] std::initializer_list<int> all,
                              [[maybe_unused]] std::initializer_list<int> some) {
  return EMULATION_ASAN || EMULATION_TSAN ? some : all;
}

}  // namespace emulation

namespace emulation::detail {

inline void poison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size) {
#if EMULATION_ASAN
  __asan_poison_memory_region(address, size);
#endif
}
inline void unpoison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size) {
#if EMULATION_ASAN
  __asan_unpoison_memory_region(address, size);
#endif
}

/// Everything that happened before release(tag) happens before what follows a later acquire(tag).
inline void acquire([[maybe_unused]] void* tag) {
#if EMULATION_TSAN
  if (tag != nullptr) {
    __tsan_acquire(tag);
  }
#endif
}
inline void release([[maybe_unused]] void* tag) {
#if EMULATION_TSAN
  if (tag != nullptr) {
    __tsan_release(tag);
  }
#endif
}

/// The emulation's own reads and writes are no accesses of the CUDA thread on whose behalf they
/// are made: the thread sanitizer does not see what happens while a Quiet lives.
class Quiet {
 public:
#if EMULATION_TSAN
  Quiet() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Quiet() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Quiet() {}
  ~Quiet() {}
#endif
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

/// Locks of the emulation order no CUDA threads.
class Unordered {
 public:
#if EMULATION_TSAN
  Unordered() { AnnotateIgnoreSyncBegin(__FILE__, __LINE__); }
  ~Unordered() { AnnotateIgnoreSyncEnd(__FILE__, __LINE__); }
#else
  Unordered() {}
  ~Unordered() {}
#endif
  Unordered(const Unordered&) = delete;
  Unordered& operator=(const Unordered&) = delete;
};

}  // namespace emulation::detail
