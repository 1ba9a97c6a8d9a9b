// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "trace.hpp"

#include <cstdio>

// How the tracer turns single accesses into requests, sectors and wavefronts.

EMULATION_TRUSTED_BEGIN
namespace emulation {

inline Trace::Trace() {
  if (detail::current_trace != nullptr) {
    throw fault("two traces at a time");
  }
  detail::current_trace = this;
}
inline Trace::~Trace() { detail::current_trace = nullptr; }

inline void Trace::record(detail::Thread& thread, const void* address, std::size_t bytes,
                          Access kind, const char* file, unsigned line) {
  const auto next = static_cast<std::uint32_t>(known_.size());
  const auto [found, fresh] = numbers_.try_emplace({file, line, kind}, next);
  if (fresh) {
    const std::string_view path = file;
    known_.emplace_back();
    known_.back().traffic.file = path.substr(path.find_last_of('/') + 1);
    known_.back().traffic.line = line;
    known_.back().traffic.kind = kind;
  }
  const std::uint32_t site = found->second;
  if (thread.visits.size() <= site) {
    thread.visits.resize(site + 1, 0);
  }
  records_.push_back({site, thread.warp->number, thread.visits[site]++,
                      static_cast<std::uint16_t>(thread.lane), static_cast<std::uint16_t>(bytes),
                      reinterpret_cast<std::uintptr_t>(address)});
}

inline void Trace::count(const detail::AccessRecord* first, const detail::AccessRecord* last) {
  Known& known = known_[first->site];
  SiteTraffic& t = known.traffic;
  ++t.requests;
  t.accesses += last - first;
  if (t.shared()) {
    const auto [wavefronts, ideal] = detail::count_wavefronts(first, last);
    t.wavefronts += wavefronts;
    t.ideal_wavefronts += ideal;
  }
  detail::ByteSet touched;
  for (const detail::AccessRecord* r = first; r != last; ++r) {
    t.bytes += r->bytes;
    if (!t.shared()) {
      touched.add(r->address, r->bytes);
      known.touched.add(r->address, r->bytes);
      (t.kind == Access::load ? loaded_ : stored_).add(r->address, r->bytes);
      (t.kind == Access::load ? totals_.load_bytes : totals_.store_bytes) += r->bytes;
    }
  }
  t.sectors += touched.sectors();
  t.ideal_sectors += (touched.bytes() + 31) / 32;
  (t.kind == Access::load ? totals_.load_sectors : totals_.store_sectors) += touched.sectors();
}

inline void Trace::end_block() {
  std::stable_sort(records_.begin(), records_.end(),
                   [](const auto& a, const auto& b) { return a.request() < b.request(); });
  for (std::size_t first = 0; first < records_.size();) {
    std::size_t last = first + 1;
    while (last < records_.size() && records_[last].request() == records_[first].request()) {
      ++last;
    }
    count(records_.data() + first, records_.data() + last);
    first = last;
  }
  records_.clear();
}

inline void Trace::end_launch() {
  for (Known& known : known_) {
    known.traffic.distinct_bytes += known.touched.bytes();
    known.touched.clear();
  }
  totals_.distinct_load_bytes += loaded_.bytes();
  totals_.distinct_store_bytes += stored_.bytes();
  loaded_.clear();
  stored_.clear();
}

inline std::vector<SiteTraffic> Trace::sites() const {
  // The same place may be known by several addresses of its file's name.
  std::map<std::tuple<std::string, unsigned, Access>, SiteTraffic> by_place;
  for (const Known& known : known_) {
    const SiteTraffic& from = known.traffic;
    SiteTraffic& to = by_place[{from.file, from.line, from.kind}];
    to.file = from.file;
    to.line = from.line;
    to.kind = from.kind;
    for (const auto member :
         {&SiteTraffic::accesses, &SiteTraffic::requests, &SiteTraffic::bytes,
          &SiteTraffic::sectors, &SiteTraffic::ideal_sectors, &SiteTraffic::distinct_bytes,
          &SiteTraffic::wavefronts, &SiteTraffic::ideal_wavefronts}) {
      to.*member += from.*member;
    }
  }
  std::vector<SiteTraffic> result;
  for (const auto& [place, traffic] : by_place) {
    result.push_back(traffic);
  }
  return result;
}

inline SiteTraffic Trace::site(std::string_view file, unsigned line, Access kind) const {
  for (const SiteTraffic& traffic : sites()) {
    if (traffic.file == file && traffic.line == line && traffic.kind == kind) {
      return traffic;
    }
  }
  return {std::string(file), line, kind, 0, 0, 0, 0, 0, 0, 0, 0};
}

inline std::string Trace::report() const {
  std::string text =
      "place                              kind          requests      bytes   sectors/ideal"
      "   distinct   wavefronts/ideal\n";
  for (const SiteTraffic& t : sites()) {
    static constexpr const char* kinds[] = {"load", "store", "shared load", "shared store"};
    char row[256];
    std::snprintf(row, sizeof(row), "%-34s %-12s %9ld %10ld %9ld/%-9ld %9ld %9ld/%-9ld\n",
                  (t.file + ":" + std::to_string(t.line)).c_str(), kinds[static_cast<int>(t.kind)],
                  t.requests, t.bytes, t.sectors, t.ideal_sectors, t.distinct_bytes, t.wavefronts,
                  t.ideal_wavefronts);
    text += row;
  }
  return text;
}

}  // namespace emulation
EMULATION_TRUSTED_END
