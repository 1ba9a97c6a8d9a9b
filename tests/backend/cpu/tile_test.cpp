// SPDX-License-Identifier: Apache-2.0
#include <xmoe/backend/cpu/tile.hpp>

#include <vector>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using Lines = std::vector<std::uintptr_t>;

/// Rows anywhere, not even in order.
Lines starts_of(index count) {
  Lines starts;
  for (index i = 0; i < count; ++i) {
    starts.push_back(static_cast<std::uintptr_t>(100'000 + i * 37 % 11 * 5'000 + i));
  }
  return starts;
}

TEST_CASE("trail: the shares of all tiles are every line of every row once", "[backend]") {
  for (const index count : {1, 2, 3, 11}) {
    for (const index bytes : {1, 64, 65, 640, 3000}) {
      const Lines starts = starts_of(count);
      Lines all;
      for (const std::uintptr_t start : starts) {
        for (index at = 0; at < bytes; at += cpu::cache_line) {
          all.push_back(start + static_cast<std::uintptr_t>(at));
        }
      }
      for (const index parts : {1, 2, 7, 1000}) {
        Lines asked;
        index most = 0;
        for (index part = 0; part < parts; ++part) {
          cpu::Trail trail = cpu::Trail::share(starts.data(), count, bytes, part, parts);
          most = trail.total > most ? trail.total : most;
          for (; trail.total > 0; --trail.total) {
            asked.push_back(trail.next());
          }
        }
        INFO(count << " rows of " << bytes << " bytes, " << parts << " parts");
        CHECK(asked == all);
        CHECK(most <= cpu::ceil_div(static_cast<index>(all.size()), parts));
      }
    }
  }
}

TEST_CASE("trail: no rows, no lines", "[backend]") {
  CHECK(cpu::Trail::share(nullptr, 0, 640, 0, 1).total == 0);
  CHECK(cpu::Trail{}.total == 0);
}

TEST_CASE("split: runs that differ by at most one", "[backend]") {
  for (const index total : {0, 1, 7, 24}) {
    for (const index parts : {1, 2, 5, 7}) {
      const cpu::Split split{total, parts};
      index next = 0;
      for (index p = 0; p < parts; ++p) {
        CHECK(split.begin(p) == next);
        CHECK((split.size(p) == total / parts || split.size(p) == total / parts + 1));
        next += split.size(p);
      }
      CHECK(next == total);
    }
  }
}

}  // namespace
}  // namespace xmoe
