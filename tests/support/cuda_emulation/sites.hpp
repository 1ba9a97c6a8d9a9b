// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "fault.hpp"
#include "sanitizer.hpp"

#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace emulation {

/// A textual place with a barrier, however many instantiations it stands in.
struct BarrierSite {
  std::string file;  ///< without its folder
  unsigned line = 0;
  bool warp = false;     ///< __syncwarp; else __syncthreads
  bool deleted = false;  ///< threads pass as if it were not there
  long arrivals = 0;     ///< of threads, since it was registered
};

namespace detail {

inline std::mutex& sites_mutex() {
  static std::mutex instance;
  return instance;
}
inline std::deque<BarrierSite>& sites() {
  static std::deque<BarrierSite> instance;
  return instance;
}

inline BarrierSite& find_site(std::string_view path, unsigned line, bool warp) {
  const std::string_view file = path.substr(path.find_last_of('/') + 1);
  for (BarrierSite& site : sites()) {
    if (site.line == line && site.file == file && site.warp == warp) {
      return site;
    }
  }
  sites().push_back({std::string(file), line, warp, false, 0});
  return sites().back();
}

/// What stands at each barrier as a static variable: constant at first, so that it needs no guard
/// (a guard would order threads that nothing else orders).
struct Site {
  const char* file;
  unsigned line;
  bool warp;
  BarrierSite* entry = nullptr;

  constexpr Site(const char* file_, unsigned line_, bool warp_)
      : file(file_), line(line_), warp(warp_) {}

  BarrierSite& known() {
    if (entry == nullptr) {
      const Unordered unordered;
      const std::lock_guard lock(sites_mutex());
      entry = &find_site(file, line, warp);
    }
    return *entry;
  }
};

}  // namespace detail

/// All barriers that any kernel has met so far in this process.
inline std::vector<BarrierSite> barrier_sites() {
  const std::lock_guard lock(detail::sites_mutex());
  return {detail::sites().begin(), detail::sites().end()};
}

/// As long as it lives the barrier at that place does nothing. `file` without its folder. The
/// place need not have been met before.
class DeletedBarrier {
 public:
  DeletedBarrier(std::string_view file, unsigned line, bool warp = false) {
    const std::lock_guard lock(detail::sites_mutex());
    site_ = &detail::find_site(file, line, warp);
    site_->deleted = true;
  }
  explicit DeletedBarrier(const BarrierSite& site)
      : DeletedBarrier(site.file, site.line, site.warp) {}
  ~DeletedBarrier() { site_->deleted = false; }
  DeletedBarrier(const DeletedBarrier&) = delete;
  DeletedBarrier& operator=(const DeletedBarrier&) = delete;

  /// Threads that would have waited there.
  long arrivals() const { return site_->arrivals; }

 private:
  BarrierSite* site_;
};

}  // namespace emulation
