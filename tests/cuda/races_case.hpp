// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "emulation_case.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

// Every barrier of the kernels is deleted in turn, at run time, and the thread sanitizer has to
// report a race each time: none is missing from the tests, and none stands there for nothing.
namespace tests {

/// Launches that reach barriers, on the same memory every time.
struct RaceStep {
  const char* name;
  void (*run)();
};

/// A barrier: file without its folder, line.
using BarrierPlace = std::pair<std::string, unsigned>;

/// The lines of a header of the CUDA backend on which a barrier stands.
inline std::vector<BarrierPlace> written_barriers(const std::string& file) {
  const std::filesystem::path folder =
      std::filesystem::path(XMOE_TEST_ROOT) / "include/xmoe/backend/cuda";
  std::ifstream in(folder / file);
  std::vector<BarrierPlace> result;
  unsigned line = 0;
  for (std::string text; std::getline(in, text);) {
    ++line;
    const bool barrier = text.find("XMOE_BARRIER(") != std::string::npos ||
                         text.find("XMOE_WARP_BARRIER(") != std::string::npos;
    if (barrier && text.find("#define") == std::string::npos) {
      result.emplace_back(file, line);
    }
  }
  return result;
}

/// Headers of the CUDA backend that have barriers of their own.
inline std::vector<std::string> headers_with_barriers() {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           std::filesystem::path(XMOE_TEST_ROOT) / "include/xmoe/backend/cuda")) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && !written_barriers(name).empty()) {
      result.push_back(name);
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

/// Which steps reach a barrier of `files`: site by site.
inline std::map<BarrierPlace, std::vector<RaceStep>> reached_barriers(
    const std::vector<RaceStep>& steps, const std::vector<std::string>& files) {
  const auto arrivals = [&] {
    std::map<BarrierPlace, long> result;
    for (const emulation::BarrierSite& site : emulation::barrier_sites()) {
      if (std::find(files.begin(), files.end(), site.file) != files.end()) {
        result[{site.file, site.line}] += site.arrivals;
      }
    }
    return result;
  };
  std::map<BarrierPlace, std::vector<RaceStep>> result;
  for (const RaceStep& step : steps) {
    auto before = arrivals();
    step.run();
    for (const auto& [place, count] : arrivals()) {
      if (count != before[place]) {
        result[place].push_back(step);
      }
    }
  }
  return result;
}

/// The steps are free of races; they reach every barrier that is written in `files`; without any
/// single one of these a step has a race.
inline void check_barriers(const std::vector<RaceStep>& steps,
                           const std::vector<std::string>& files) {
  const auto reached = reached_barriers(steps, files);
  std::size_t written = 0;
  for (const std::string& file : files) {
    for (const BarrierPlace& place : written_barriers(file)) {
      INFO(place.first << ":" << place.second << " is not reached by any step");
      CHECK(reached.count(place) == 1);
      ++written;
    }
  }
  CHECK(reached.size() == written);
  if constexpr (thread_sanitizer) {
    for (const RaceStep& step : steps) {
      const auto result = emulation::run_in_child(step.run);
      INFO(step.name);
      INFO(result.text);
      CHECK(result.clean());
    }
    for (const auto& [place, with] : reached) {
      std::string text;
      bool found = false;
      for (std::size_t i = 0; i < with.size() && !found; ++i) {
        bool warp = false;
        for (const emulation::BarrierSite& site : emulation::barrier_sites()) {
          warp = warp || (site.warp && BarrierPlace(site.file, site.line) == place);
        }
        const emulation::DeletedBarrier deleted(place.first, place.second, warp);
        const auto result = race_of(with[i].run);
        found = result.says("ThreadSanitizer: data race");
        text += std::string(with[i].name) + " ";
      }
      INFO(place.first << ":" << place.second << " deleted, and no race in: " << text);
      CHECK(found);
    }
  }
}

}  // namespace tests
