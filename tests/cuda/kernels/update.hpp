// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <set>

#include "bounds.hpp"

namespace bounds {

/// Registers are given out in units of 8 a thread: up to there a bound costs nothing. 255 at most.
inline int rounded_up(int registers) { return std::min((registers + 7) / 8 * 8, 255); }

/// What a kernel has, in the table's words.
inline std::string words_for(const Kernel& kernel) {
  std::string words;
  const int hmma = kernel.mix.at("HMMA");
  if (hmma > 0) {
    words += " hmma=" + (hmma == tile_hmma(kernel) ? "tile" : std::to_string(hmma));
  }
  if (tile_fma(kernel) > 0) {
    words += " fma>=tile";
  }
  words += kernel.mix.at("LDSM") > 0 ? " ldsm" : "";
  words += kernel.mix.at("LDGSTS") > 0 ? " ldgsts" : "";
  return words;
}

inline std::string line_of(const std::string& pattern, const std::vector<int>& registers,
                           const std::string& words, std::size_t width) {
  std::string line = pattern + std::string(width - std::min(width, pattern.size()), ' ');
  for (const int most : registers) {
    const std::string text = most == none ? "-" : std::to_string(most);
    line += std::string(5 - std::min<std::size_t>(4, text.size()), ' ') + text;
  }
  return line + words + "\n";
}

/// The table with measured registers: comments and patterns stay, rules without a kernel go, a
/// kernel without a rule gets one of its own at the end. What kernels have to contain stays too.
inline std::string updated(const std::string& text, const std::vector<Kernel>& kernels) {
  const Table table = parse(text);
  std::map<std::size_t, std::vector<int>> measured;  // by rule
  std::map<std::string, std::vector<int>> others;    // by name, not in the table
  std::map<std::string, std::string> words_of_others;
  for (const Kernel& kernel : kernels) {
    const std::size_t i = rule_for(table, kernel);
    const bool known = i < table.rules.size();
    std::vector<int>& most = known ? measured[i] : others[kernel.name];
    most.resize(table.targets.size(), none);
    int& here = most[target_of(table, kernel)];
    here = std::max(here, rounded_up(kernel.registers));
    if (!known) {
      words_of_others[kernel.name] = words_for(kernel);
    }
  }
  std::size_t width = 0;
  for (const Rule& rule : table.rules) {
    width = std::max(width, rule.pattern.size());
  }
  std::map<int, std::string> by_line;
  for (std::size_t i = 0; i < table.rules.size(); ++i) {
    const Rule& rule = table.rules[i];
    std::string words;
    for (const std::string& word : rule.words) {
      words += " " + word;
    }
    by_line[rule.line] =
        measured.contains(i) ? line_of(rule.pattern, measured[i], words, width) : "";
  }
  std::string result;
  std::istringstream in(text);
  std::string line;
  for (int count = 1; std::getline(in, line); ++count) {
    result += by_line.contains(count) ? by_line[count] : line + "\n";
  }
  for (const auto& [name, most] : others) {
    result += line_of(name, most, words_of_others[name], width);
  }
  return result;
}

}  // namespace bounds
