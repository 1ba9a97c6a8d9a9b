// SPDX-License-Identifier: Apache-2.0
// Kernels in binaries against the table of bounds.
//
//   check TABLE STEM...             judge STEM.cubin and STEM.log of all stems; 1 if anything is
//   amiss check --update TABLE STEM...    print the table with measured registers check --page
//   TRAFFIC TABLE STEM...   print a page; lines kernel;bytes;flops, if that file exists
#include <filesystem>
#include <iostream>

#include "page.hpp"
#include "update.hpp"

namespace {

int report(const bounds::Table& table, const std::vector<binaries::Kernel>& kernels) {
  const std::vector<std::string> problems = bounds::judge(table, kernels);
  for (const std::string& problem : problems) {
    std::cout << problem << '\n';
  }
  // A bound far above what it bounds lets the next change for the worse pass.
  std::vector<std::vector<int>> most(table.rules.size(),
                                     std::vector<int>(table.targets.size(), bounds::none));
  for (const binaries::Kernel& kernel : kernels) {
    if (const std::size_t i = bounds::rule_for(table, kernel); i < most.size()) {
      int& here = most[i][bounds::target_of(table, kernel)];
      here = std::max(here, bounds::rounded_up(kernel.registers));
    }
  }
  for (std::size_t i = 0; i < most.size(); ++i) {
    for (std::size_t target = 0; target < table.targets.size(); ++target) {
      const int bound = table.rules[i].registers[target];
      if (most[i][target] != bounds::none && most[i][target] + 8 < bound) {
        std::cout << "note: line " << table.rules[i].line << ": " << bound << " registers for sm_"
                  << table.targets[target] << ", " << most[i][target] << " would do\n";
      }
    }
  }
  std::cout << kernels.size() << " kernels, " << table.rules.size() << " bounds, "
            << problems.size() << " problems\n";
  return problems.empty() ? 0 : 1;
}

int run(std::vector<std::string> words) {
  std::string mode;
  std::string traffic;
  const auto take = [&words] {
    if (words.empty()) {
      throw std::runtime_error("check [--update | --page TRAFFIC] TABLE STEM...");
    }
    std::string word = words.front();
    words.erase(words.begin());
    return word;
  };
  std::string first = take();
  if (first.starts_with("--")) {
    mode = first;
    traffic = mode == "--page" ? take() : "";
    first = take();
  }
  const std::string text = binaries::contents(first);
  const bounds::Table table = bounds::parse(text);
  std::vector<binaries::Kernel> kernels;
  for (const std::string& stem : words) {
    try {
      for (binaries::Kernel& kernel :
           binaries::read(binaries::contents(stem + ".cubin"), binaries::contents(stem + ".log"))) {
        kernels.push_back(std::move(kernel));
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(stem + ": " + error.what());
    }
  }
  if (mode.empty()) {
    return report(table, kernels);
  }
  if (mode == "--update") {
    std::cout << bounds::updated(text, kernels);
  } else if (mode == "--page") {
    const bool counted = std::filesystem::exists(traffic);
    page::write(std::cout, table, kernels,
                page::read_traffic(counted ? binaries::contents(traffic) : ""));
  } else {
    throw std::runtime_error("what is " + mode + "?");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "check: " << error.what() << '\n';
    return 2;
  }
}
