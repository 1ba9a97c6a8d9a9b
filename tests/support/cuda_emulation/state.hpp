// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "fault.hpp"
#include "fiber.hpp"
#include "sites.hpp"
#include "vector_types.hpp"

#include <array>
#include <vector>

namespace emulation::detail {
EMULATION_TRUSTED_BEGIN

inline constexpr unsigned warp_size = 32;

class Engine;
struct Warp;

/// A copy that cp.async has begun.
struct AsyncCopy {
  void* to;
  std::array<std::byte, 16> bytes;
};

enum class State : unsigned char { fresh, runnable, at_barrier, at_collective, done };

/// One CUDA thread.
struct Thread {
  uint3 index{};
  unsigned linear = 0, lane = 0;
  Warp* warp = nullptr;
  Engine* engine = nullptr;
  State state = State::fresh;
  Place waits_at;
  const char* waits_for = "";
  Context context;
  Stack* stack = nullptr;
  std::vector<AsyncCopy> open_copies;                    // not yet committed
  std::vector<std::vector<AsyncCopy>> committed_copies;  // oldest group first
  std::vector<unsigned> visits;                          // of each traced site
};

/// Lanes that wait for each other in one collective.
struct Group {
  unsigned mask = 0, arrived = 0;
  const char* operation = "";
  void (*finish)(Warp&, unsigned arrived) = nullptr;
  Place place;
};

struct Warp {
  /// What a lane brings to a collective, and takes from it. Its next arrival comes after its
  /// taking, hence one slot is enough.
  struct Slot {
    alignas(16) std::byte in[64];
    alignas(16) std::byte out[64];
  };
  unsigned number = 0;
  unsigned alive = 0;  // lanes that exist and have not returned
  unsigned group_count = 0;
  std::array<Thread*, warp_size> threads{};
  std::array<Group, warp_size> groups;
  std::array<Slot, warp_size> slots;
  std::array<unsigned char, warp_size> parity{};  // of barriers, by lowest lane of the mask
  std::uint64_t* tags = nullptr;                  // 2 a lane, what the thread sanitizer orders by

  /// What `lane` brought.
  template <class T>
  T in(unsigned lane) const {
    T value;
    __builtin_memcpy(&value, slots[lane].in, sizeof(T));
    return value;
  }
  template <class T>
  void out(unsigned lane, const T& value) {
    static_assert(sizeof(T) <= sizeof(Slot::out));
    __builtin_memcpy(slots[lane].out, &value, sizeof(T));
  }
};

/// A launch: the kernel with its arguments, and its sizes.
struct Job {
  void (*call)(const void* data) = nullptr;
  const void* data = nullptr;
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

inline constinit thread_local Thread* current_thread = nullptr;

/// The CUDA thread that runs now.
inline Thread& self() {
  if (current_thread == nullptr) {
    throw fault("device function called by host code");
  }
  return *current_thread;
}

/// Which numbers are permuted by the seed; splitmix64.
class Shuffler {
 public:
  void seed(unsigned seed) { on_ = seed != 0, state_ = seed; }
  bool on() const { return on_; }
  template <class T>
  void operator()(T* items, std::size_t count) {
    if (!on_) {
      return;
    }
    for (std::size_t i = count; i > 1; --i) {
      const std::size_t j = next() % i;
      const T kept = items[i - 1];
      items[i - 1] = items[j];
      items[j] = kept;
    }
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  bool on_ = false;
  std::uint64_t state_ = 0;
};

EMULATION_TRUSTED_END
}  // namespace emulation::detail
