// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

// What a check is, and what it finds. Plain C++: the same under nvcc and under emulation.
namespace gpu_check {

using Vector = std::vector<double>;

/// The comparisons of one check. All are made, also behind one that fails.
///
/// A sabotaged one has every comparison falsified: one wanted number moved out of its tolerance,
/// one bit flipped, one word added, one answer inverted. Every comparison must then be a problem,
/// which shows that none of them is idle.
class Findings {
 public:
  explicit Findings(bool sabotaged = false) : sabotaged_(sabotaged) {}

  /// Every number of `got` is within `allowed` of that of `want`. NaN never is.
  void close(const std::string& name, const Vector& got, Vector want, double allowed) {
    if (sabotaged_ && !want.empty()) {
      want[want.size() * 2 / 3] += 2.5 * allowed + 1e-300;
    }
    std::size_t place = 0;
    double largest = 0.0;
    bool nan = false;
    for (std::size_t i = 0; i < want.size() && i < got.size(); ++i) {
      const double error = std::abs(got[i] - want[i]);
      if (!nan && !(error <= largest)) {
        largest = error;
        place = i;
        nan = std::isnan(error);
      }
    }
    const bool same_size = got.size() == want.size();
    if (same_size && !nan && largest > 0.0) {
      worst_ = std::fmax(worst_, largest / allowed);
    }
    add(same_size && !nan && largest <= allowed, [&] {
      char text[200];
      std::snprintf(text, sizeof text,
                    ": number %zu of %zu (%zu wanted) is %.9g, wanted %.9g +- %g", place,
                    got.size(), want.size(), got.empty() ? 0.0 : got[place],
                    want.empty() ? 0.0 : want[place], allowed);
      return name + text;
    });
  }
  /// The same numbers, bit for bit.
  template <class T>
  void same_bits(const std::string& name, const std::vector<T>& got, const std::vector<T>& want) {
    std::size_t place = 0;
    while (place < got.size() && place < want.size() &&
           std::memcmp(&got[place], &want[place], sizeof(T)) == 0) {
      ++place;
    }
    bool same = got.size() == want.size() && place == got.size() && !got.empty();
    if (sabotaged_ && same) {
      T flipped = want[place = want.size() / 2];
      unsigned char byte = 0;
      std::memcpy(&byte, &flipped, 1);
      byte ^= 1;
      std::memcpy(static_cast<void*>(&flipped), &byte, 1);
      same = std::memcmp(&got[place], &flipped, sizeof(T)) == 0;
    }
    add(same, [&] {
      return name + ": bits differ from number " + std::to_string(place) + " of " +
             std::to_string(got.size()) + " on (" + std::to_string(want.size()) + " wanted)";
    });
  }
  void equal(const std::string& name, const std::string& got, const std::string& want) {
    add(got == want + (sabotaged_ ? "!" : ""),
        [&] { return name + ": \"" + got + "\", wanted \"" + want + '"'; });
  }
  void equal(const std::string& name, long long got, long long want) {
    equal(name, std::to_string(got), std::to_string(want));
  }
  void that(const std::string& statement, bool holds) {
    add(holds != sabotaged_, [&] { return "not so: " + statement; });
  }
  /// Something that had no business to happen.
  void problem(const std::string& text) {
    add(false, [&] { return text; });
  }
  /// Stands before what is said from now on.
  void about(const std::string& what) { about_ = what.empty() ? "" : what + ", "; }

  int comparisons() const { return comparisons_; }
  const std::vector<std::string>& problems() const { return problems_; }
  /// The largest error that passed or failed, as a share of what was allowed.
  double worst() const { return worst_; }

 private:
  template <class Text>
  void add(bool good, const Text& text) {
    ++comparisons_;
    if (!good) {
      problems_.push_back(about_ + text());
    }
  }

  bool sabotaged_;
  std::string about_;
  int comparisons_ = 0;
  double worst_ = 0.0;
  std::vector<std::string> problems_;
};

struct Check {
  std::string name;
  std::function<void(Findings&)> run;
};
using Checks = std::vector<Check>;

struct Outcome {
  Findings findings;
  double seconds = 0.0;

  bool passed() const { return findings.comparisons() > 0 && findings.problems().empty(); }
};

inline Outcome run(const Check& check, bool sabotaged = false) {
  Outcome outcome{Findings(sabotaged)};
  const auto begin = std::chrono::steady_clock::now();
  try {
    check.run(outcome.findings);
  } catch (const std::exception& e) {
    outcome.findings.problem(std::string("exception: ") + e.what());
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

}  // namespace gpu_check
