// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "state.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

EMULATION_TRUSTED_BEGIN
namespace emulation {

enum class Access : unsigned char { load, store, shared_load, shared_store };

/// What one textual place moved. The n-th accesses of a warp's lanes there are one request.
struct SiteTraffic {
  std::string file;  ///< without its folder
  unsigned line = 0;
  Access kind = Access::load;
  long accesses = 0, requests = 0;  ///< of lanes, of warps
  long bytes = 0;                   ///< asked for by lanes
  /// Global memory: 32-byte sectors that the requests touch, and how few could hold their bytes.
  long sectors = 0, ideal_sectors = 0;
  /// Global memory: bytes that a launch touches here, each counted once: what must come from DRAM
  /// even if the caches are perfect.
  long distinct_bytes = 0;
  /// Shared memory: passes over the 32 banks of 4 bytes, and how few would do. Lanes take part in
  /// groups of 32, 16 or 8 for accesses of up to 4, of 8 and of 16 bytes.
  long wavefronts = 0, ideal_wavefronts = 0;

  bool shared() const { return kind == Access::shared_load || kind == Access::shared_store; }
};

/// Sums over all places, of global memory.
struct Traffic {
  long load_bytes = 0, load_sectors = 0, store_bytes = 0, store_sectors = 0;
  long distinct_load_bytes = 0, distinct_store_bytes = 0;  ///< a launch's, each counted once
};

namespace detail {

/// A lane's access, until its block ends.
struct AccessRecord {
  std::uint32_t site, warp, visit;
  std::uint16_t lane, bytes;
  std::uintptr_t address;
  auto request() const { return std::tuple(site, warp, visit); }
};

/// Bytes of memory, as 32 bits a sector.
class ByteSet {
 public:
  void add(std::uintptr_t address, std::size_t bytes) {
    while (bytes != 0) {
      const std::size_t first = address % 32, count = std::min<std::size_t>(bytes, 32 - first);
      const auto ones = static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
      sectors_[address / 32] |= ones << first;
      address += count;
      bytes -= count;
    }
  }
  long sectors() const { return static_cast<long>(sectors_.size()); }
  long bytes() const {
    long sum = 0;
    for (const auto& [sector, bits] : sectors_) {
      sum += __builtin_popcount(bits);
    }
    return sum;
  }
  void clear() { sectors_.clear(); }

 private:
  std::unordered_map<std::uintptr_t, std::uint32_t> sectors_;
};

/// Wavefronts and the ideal of one request to shared memory.
inline std::pair<long, long> count_wavefronts(const AccessRecord* first, const AccessRecord* last) {
  long wavefronts = 0, ideal = 0;
  const unsigned lanes = first->bytes > 8 ? 8 : first->bytes > 4 ? 16 : 32;
  for (unsigned phase = 0; phase < warp_size; phase += lanes) {
    std::vector<std::uintptr_t> words;
    for (const AccessRecord* r = first; r != last; ++r) {
      if (r->lane >= phase && r->lane < phase + lanes) {
        for (std::uintptr_t w = r->address / 4; w <= (r->address + r->bytes - 1) / 4; ++w) {
          words.push_back(w);
        }
      }
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::array<long, 32> in_bank{};
    for (const std::uintptr_t w : words) {
      ++in_bank[w % 32];
    }
    wavefronts += *std::max_element(in_bank.begin(), in_bank.end());
    ideal += (static_cast<long>(words.size()) + 31) / 32;
  }
  return {wavefronts, ideal};
}

}  // namespace detail

/// Counts what the launches of this host thread move, as long as it lives. One at a time.
class Trace {
 public:
  inline Trace();
  inline ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  /// By file, line and kind; instantiations of a template are one place.
  inline std::vector<SiteTraffic> sites() const;
  /// The accesses of that kind at one place; zeros if there were none.
  inline SiteTraffic site(std::string_view file, unsigned line, Access kind) const;
  const Traffic& totals() const { return totals_; }
  /// A table of the sites.
  inline std::string report() const;

  // Called while kernels run.
  inline void record(detail::Thread& thread, const void* address, std::size_t bytes, Access kind,
                     const char* file, unsigned line);
  inline void end_block();
  inline void end_launch();

 private:
  struct Known {
    SiteTraffic traffic;
    detail::ByteSet touched;
  };
  inline void count(const detail::AccessRecord* first, const detail::AccessRecord* last);

  std::map<std::tuple<const char*, unsigned, Access>, std::uint32_t> numbers_;
  std::vector<Known> known_;
  std::vector<detail::AccessRecord> records_;
  detail::ByteSet loaded_, stored_;
  Traffic totals_;
};

namespace detail {

inline constinit thread_local Trace* current_trace = nullptr;

inline bool tracing() { return current_trace != nullptr; }
inline void trace_access(Thread& thread, const void* address, std::size_t bytes, Access kind,
                         const char* file, unsigned line) {
  current_trace->record(thread, address, bytes, kind, file, line);
}
inline void trace_begin_block(Thread* threads, unsigned count) {
  for (unsigned i = 0; tracing() && i < count; ++i) {
    threads[i].visits.clear();
  }
}
inline void trace_end_block() {
  if (tracing()) {
    current_trace->end_block();
  }
}
inline void trace_end_launch() {
  if (tracing()) {
    current_trace->end_launch();
  }
}

}  // namespace detail

}  // namespace emulation
EMULATION_TRUSTED_END

#include "trace_counting.hpp"
