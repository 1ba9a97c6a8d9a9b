// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sstream>

#include "binaries.hpp"

// The table of what kernels may use and have to contain: its text, and kernels against it.
namespace bounds {

using binaries::Kernel;

inline constexpr int none = -1;

/// A line of the table: a pattern of names, most registers by target, instructions.
struct Rule {
  std::string pattern;
  std::vector<int> registers;      ///< by target; `none`: no such kernel there
  std::vector<std::string> words;  ///< hmma=N hmma=tile fma>=N fma>=tile ldsm ldgsts
  int line = 0;
};
struct Table {
  std::vector<int> targets;
  std::vector<Rule> rules;
};

/// `*` stands for any text, [a|b] for one of several.
inline bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) {
    return name.empty();
  }
  const std::string_view rest = pattern.substr(1);
  if (pattern[0] == '*') {
    return matches(rest, name) || (!name.empty() && matches(pattern, name.substr(1)));
  }
  const std::size_t close = pattern[0] == '[' ? rest.find(']') : std::string_view::npos;
  if (close == std::string_view::npos) {
    return !name.empty() && name[0] == pattern[0] && matches(rest, name.substr(1));
  }
  std::string_view choices = rest.substr(0, close);
  while (true) {
    const std::size_t bar = choices.find('|');
    const std::string_view choice = choices.substr(0, bar);
    if (name.starts_with(choice) && matches(rest.substr(close + 1), name.substr(choice.size()))) {
      return true;
    }
    if (bar == std::string_view::npos) {
      return false;
    }
    choices.remove_prefix(bar + 1);
  }
}

/// Numbers behind every `text` in a name: "Tile<1,2>" has {1, 2} behind "Tile<".
inline std::vector<std::vector<int>> numbers_behind(std::string_view name, std::string_view text) {
  std::vector<std::vector<int>> all;
  for (std::size_t at = 0; (at = name.find(text, at)) != std::string_view::npos;) {
    at += text.size();
    std::istringstream in{std::string(name.substr(at, name.find('>', at) - at))};
    all.emplace_back();
    for (int number; in >> number; in.ignore()) {
      all.back().push_back(number);
    }
  }
  return all;
}

/// mma instructions of a step: m16 n8, 32 bytes of depth, shared by the warps of a block.
///   MmaTile<rows, columns, depth bytes, warp rows, warp columns, stages, blocks>
inline int tile_hmma(const Kernel& kernel) {
  int sum = 0;
  for (const std::vector<int>& tile : numbers_behind(kernel.name, "MmaTile<")) {
    sum += tile.at(0) / 16 * (tile.at(1) / 8) * (tile.at(2) / 32) / (tile.at(3) * tile.at(4));
  }
  return sum;
}
/// Multiply-adds of a step and a thread.
///   SimtTile<rows, columns, depth, thread rows, thread columns, blocks>
inline int tile_fma(const Kernel& kernel) {
  int sum = 0;
  for (const std::vector<int>& tile : numbers_behind(kernel.name, "SimtTile<")) {
    sum += tile.at(2) * (tile.at(0) / tile.at(3)) * (tile.at(1) / tile.at(4));
  }
  return sum;
}

inline std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line.substr(0, line.find('#')));
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  return words;
}
inline int number(const std::string& text) {
  std::size_t used = 0;
  const int value = std::stoi(text, &used);
  if (used != text.size()) {
    throw std::invalid_argument(text);
  }
  return value;
}

/// One line, or a rule without a pattern if it is empty or a comment.
inline Rule rule_of(const std::string& line, std::size_t targets) {
  const std::vector<std::string> words = words_of(line);
  Rule rule;
  if (words.empty()) {
    return rule;
  }
  if (words.size() < 1 + targets) {
    throw std::invalid_argument("a pattern and a bound for every target are needed");
  }
  rule.pattern = words[0];
  for (std::size_t i = 1; i <= targets; ++i) {
    rule.registers.push_back(words[i] == "-" ? none : number(words[i]));
  }
  for (std::size_t i = 1 + targets; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string value = word.substr(word.find('=') + 1);
    if (word.starts_with("hmma=") || word.starts_with("fma>=")) {
      static_cast<void>(value == "tile" ? 0 : number(value));
    } else if (word != "ldsm" && word != "ldgsts") {
      throw std::invalid_argument("what is " + word + "?");
    }
    rule.words.push_back(word);
  }
  return rule;
}

/// Throws std::runtime_error with the number of the line that it does not understand.
inline Table parse(const std::string& text) {
  Table table;
  std::istringstream in(text);
  std::string line;
  for (int count = 1; std::getline(in, line); ++count) {
    try {
      if (line.starts_with("targets")) {
        for (const std::string& word : words_of(line.substr(7))) {
          table.targets.push_back(number(word));
        }
        continue;
      }
      Rule rule = rule_of(line, table.targets.size());
      if (!rule.pattern.empty()) {
        rule.line = count;
        table.rules.push_back(rule);
      }
    } catch (const std::exception& error) {
      throw std::runtime_error("line " + std::to_string(count) + ": " + error.what());
    }
  }
  if (table.targets.empty() || table.rules.empty()) {
    throw std::runtime_error("no targets, or no bounds");
  }
  return table;
}

/// The first rule for a kernel, or rules.size().
inline std::size_t rule_for(const Table& table, const Kernel& kernel) {
  std::size_t i = 0;
  while (i < table.rules.size() && !matches(table.rules[i].pattern, kernel.name)) {
    ++i;
  }
  return i;
}
/// Throws std::runtime_error if the table knows nothing about this target.
inline std::size_t target_of(const Table& table, const Kernel& kernel) {
  const auto at = std::find(table.targets.begin(), table.targets.end(), kernel.arch);
  if (at == table.targets.end()) {
    throw std::runtime_error("no column for sm_" + std::to_string(kernel.arch));
  }
  return static_cast<std::size_t>(at - table.targets.begin());
}

/// What a kernel does that its rule does not allow, one sentence each.
inline std::vector<std::string> faults(const Kernel& kernel, const Rule& rule, int registers) {
  std::vector<std::string> all;
  const auto say = [&all](const std::string& what, int is, const std::string& wanted) {
    all.push_back(what + " " + std::to_string(is) + ", not " + wanted);
  };
  const auto zero = [&say](const std::string& what, int is) {
    if (is != 0) {
      say(what, is, "0");
    }
  };
  if (registers == none) {
    all.emplace_back("the table says that there is no such kernel");
  } else if (kernel.registers > registers) {
    say("registers", kernel.registers, "at most " + std::to_string(registers));
  }
  zero("bytes of stack", kernel.stack);
  zero("bytes of spill stores", kernel.stored);
  zero("bytes of spill loads", kernel.loaded);
  zero("bytes of static shared memory", kernel.shared);
  zero("LDL", kernel.mix.at("LDL"));
  zero("STL", kernel.mix.at("STL"));

  int hmma = 0;
  int fma = 0;
  bool ldsm = false;
  bool ldgsts = false;
  for (const std::string& word : rule.words) {
    const std::string value = word.substr(word.find('=') + 1);
    if (word.starts_with("hmma=")) {
      hmma = value == "tile" ? tile_hmma(kernel) : number(value);
    } else if (word.starts_with("fma>=")) {
      fma = value == "tile" ? tile_fma(kernel) : number(value);
    }
    if (value == "tile" && hmma + fma == 0) {
      all.emplace_back("no tile in its name");
    }
    ldsm = ldsm || word == "ldsm";
    ldgsts = ldgsts || word == "ldgsts";
  }
  if (kernel.mix.at("HMMA") != hmma) {
    say("HMMA", kernel.mix.at("HMMA"), std::to_string(hmma));
  }
  if (const int is = kernel.mix.at("FFMA") + kernel.mix.at("DFMA"); is < fma) {
    say("FFMA and DFMA", is, std::to_string(fma) + " or more");
  }
  if (const int is = kernel.mix.at("LDSM"); (is > 0) != ldsm) {
    say("LDSM", is, ldsm ? "1 or more" : "0");
  }
  if (const int is = kernel.mix.at("LDGSTS"); (is > 0) != ldgsts) {
    say("LDGSTS", is, ldgsts ? "1 or more" : "0");
  }
  return all;
}

/// Every kernel against the table, and the table against the kernels. Empty: all is well.
inline std::vector<std::string> judge(const Table& table, const std::vector<Kernel>& kernels) {
  std::vector<std::string> all;
  std::vector<std::vector<bool>> used(table.rules.size(),
                                      std::vector<bool>(table.targets.size(), false));
  for (const Kernel& kernel : kernels) {
    const std::string who = "sm_" + std::to_string(kernel.arch) + " " + kernel.name;
    const std::size_t target = target_of(table, kernel);
    const std::size_t i = rule_for(table, kernel);
    if (i == table.rules.size()) {
      all.push_back(who + ": not in the table");
      continue;
    }
    used[i][target] = true;
    const Rule& rule = table.rules[i];
    for (const std::string& fault : faults(kernel, rule, rule.registers[target])) {
      all.push_back(who + ": " + fault + " (line " + std::to_string(rule.line) + ")");
    }
  }
  for (std::size_t i = 0; i < table.rules.size(); ++i) {
    for (std::size_t target = 0; target < table.targets.size(); ++target) {
      if (!used[i][target] && table.rules[i].registers[target] != none) {
        all.push_back("line " + std::to_string(table.rules[i].line) + ": " +
                      table.rules[i].pattern + ": no kernel for sm_" +
                      std::to_string(table.targets[target]));
      }
    }
  }
  return all;
}

}  // namespace bounds
