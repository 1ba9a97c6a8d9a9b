// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "grouped_case.hpp"
#include "traffic_formulas.hpp"

#include <filesystem>
#include <fstream>
#include <string>

// Kernels under the access tracer against the formulas of their traffic.
namespace tests {

/// What a call moved, in bytes.
struct Measured {
  double moved = 0, once = 0;
  std::vector<emulation::SiteTraffic> sites;
  std::string report;
};

template <class F>
Measured traced(const F& f) {
  emulation::Trace trace;
  f();
  const emulation::Traffic& t = trace.totals();
  return {32.0 * static_cast<double>(t.load_sectors + t.store_sectors),
          static_cast<double>(t.distinct_load_bytes + t.distinct_store_bytes), trace.sites(),
          trace.report()};
}

/// Within a tenth of the formula, from both sides: a formula that is too generous fails as well.
inline bool near_formula(double measured, double formula) {
  return measured <= 1.1 * formula && measured >= 0.9 * formula;
}
inline bool keeps(const Measured& m, const traffic::Cost& cost) {
  return near_formula(m.moved, cost.moved) && near_formula(m.once, cost.once);
}

/// Requires the formula; and that half of it would not have been kept.
inline void require_traffic(const Measured& m, const traffic::Cost& cost) {
  INFO("moved " << m.moved << ", formula " << cost.moved << ", ratio " << m.moved / cost.moved);
  INFO("once " << m.once << ", formula " << cost.once << ", ratio " << m.once / cost.once);
  INFO(m.report);
  CHECK(near_formula(m.moved, cost.moved));
  CHECK(near_formula(m.once, cost.once));
  CHECK_FALSE(near_formula(m.moved, cost.moved / 2));
  CHECK_FALSE(near_formula(m.once, cost.once / 2));
}

/// The line of a header of the CUDA backend that begins with `text`, spaces apart.
inline unsigned line_of(const std::string& file, const std::string& text) {
  std::ifstream in(std::filesystem::path(XMOE_TEST_ROOT) / "include/xmoe/backend/cuda" / file);
  unsigned line = 0;
  for (std::string s; std::getline(in, s);) {
    ++line;
    const std::size_t first = s.find_first_not_of(' ');
    if (first != std::string::npos && s.compare(first, text.size(), text) == 0) {
      return line;
    }
  }
  FAIL("no line of " << file << " begins with `" << text << "`");
  return 0;
}

}  // namespace tests
