// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <cstddef>
#include <source_location>
#include <stdexcept>
#include <string>

namespace emulation {

/// What a kernel did that CUDA forbids or leaves undefined; thrown by the launch.
class fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How kernels are run. May be changed between launches.
struct Settings {
  unsigned seed = 0;           ///< 0: threads and blocks in their order; else permuted by it
  bool hygiene = true;         ///< host code cannot touch device memory
  bool delayed_copies = true;  ///< cp.async arrives when it is waited for, not before; until then
                               ///< its destination holds NaN
  int devices = 1;             ///< 0: every call fails as it does without a driver
  int multiprocessors = 4;
  int compute_capability = 80;  ///< major * 10 + minor
};
inline Settings& settings() {
  static Settings instance;
  return instance;
}

/// What was called since the last reset, on all host threads together.
struct Counters {
  long launches = 0, blocks = 0, threads = 0;
  long allocations = 0, frees = 0;
  long copies = 0, copied_bytes = 0;  ///< of all directions
  long copies_to_host = 0;
  long fills = 0;  ///< cudaMemset and its kin
  long synchronizations = 0;
  long events = 0, streams = 0;  ///< made
};

namespace detail {

struct AtomicCounters {
  std::atomic<long> launches, blocks, threads, allocations, frees, copies, copied_bytes,
      copies_to_host, fills, synchronizations, events, streams;
};
inline AtomicCounters& atomic_counters() {
  static AtomicCounters instance{};
  return instance;
}

/// A place in a source file.
struct Place {
  const char* file = "";
  unsigned line = 0;

  Place() = default;
  Place(const char* file_, unsigned line_) : file(file_), line(line_) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Place(const std::source_location& at) : file(at.file_name()), line(at.line()) {}
  std::string text() const { return std::string(file) + ":" + std::to_string(line); }
};

}  // namespace detail

inline Counters counters() {
  const detail::AtomicCounters& a = detail::atomic_counters();
  Counters c;
  c.launches = a.launches;
  c.blocks = a.blocks;
  c.threads = a.threads;
  c.allocations = a.allocations;
  c.frees = a.frees;
  c.copies = a.copies;
  c.copied_bytes = a.copied_bytes;
  c.copies_to_host = a.copies_to_host;
  c.fills = a.fills;
  c.synchronizations = a.synchronizations;
  c.events = a.events;
  c.streams = a.streams;
  return c;
}
inline void reset_counters() {
  detail::AtomicCounters& a = detail::atomic_counters();
  for (std::atomic<long>* one :
       {&a.launches, &a.blocks, &a.threads, &a.allocations, &a.frees, &a.copies, &a.copied_bytes,
        &a.copies_to_host, &a.fills, &a.synchronizations, &a.events, &a.streams}) {
    one->store(0);
  }
}

}  // namespace emulation
