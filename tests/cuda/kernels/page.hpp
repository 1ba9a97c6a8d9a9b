// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cmath>
#include <ostream>

#include "bounds.hpp"

// A page for readers: kernels, what they use, and the least time that their work can take.
namespace page {

using binaries::Kernel;

/// Vendors' figures: dense, at the highest clock.
struct Device {
  const char* name;
  double tensor;  ///< FLOP/s, bfloat16 and half
  double plain;   ///< FLOP/s, float
  double memory;  ///< bytes/s
};
inline constexpr std::array devices{Device{"A100", 312e12, 19.5e12, 2.04e12},
                                    Device{"H100", 989e12, 67e12, 3.35e12},
                                    Device{"B200", 2250e12, 80e12, 8e12}};

enum class Arithmetic { tensor, tf32, plain, twofold };

inline Arithmetic arithmetic_of(std::string_view kernel) {
  const auto has = [kernel](std::string_view text) {
    return kernel.find(text) != std::string_view::npos;
  };
  if (has("Mma") || has("TensorCore")) {
    return has("bfloat16") || has("half") ? Arithmetic::tensor : Arithmetic::tf32;
  }
  return has("double") ? Arithmetic::twofold : Arithmetic::plain;
}
/// tf32 and double run at half the rate of bfloat16 and float on these three.
inline double peak(const Device& device, Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::tensor:
      return device.tensor;
    case Arithmetic::tf32:
      return device.tensor / 2;
    case Arithmetic::plain:
      return device.plain;
    case Arithmetic::twofold:
      return device.plain / 2;
  }
  return device.plain;
}

/// Bytes moved and operations done by one launch: a line "kernel;bytes;flops".
struct Traffic {
  std::string kernel;
  double bytes = 0;
  double flops = 0;
};
inline std::vector<Traffic> read_traffic(const std::string& text) {
  std::vector<Traffic> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    std::istringstream fields(line);
    Traffic traffic;
    char between = 0;
    if (!std::getline(fields, traffic.kernel, ';') || !(fields >> traffic.bytes >> between) ||
        between != ';' || !(fields >> traffic.flops)) {
      throw std::runtime_error("traffic: not kernel;bytes;flops: " + line);
    }
    all.push_back(traffic);
  }
  return all;
}

inline std::string rounded(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

inline void floors(std::ostream& out, const std::vector<Traffic>& all) {
  out << "\n## Bytes, operations, and the least time they can take\n\n"
         "Bytes have to come from and go to memory even with perfect caches, by the formulas that\n"
         "tests hold the kernels to under emulation. The least time on a device is the longer of\n"
         "bytes over bandwidth and operations over peak rate, in microseconds; M: memory is the\n"
         "limit, A: arithmetic. Nothing here is a measured time.\n"
         "The devices' figures are their vendors':\n\n"
         "| device | TB/s | TFLOP/s tensor cores, 16 bits | tf32 | float | double |\n"
         "|---|--:|--:|--:|--:|--:|\n";
  for (const Device& device : devices) {
    out << "| " << device.name << " | " << rounded(device.memory / 1e12);
    for (const Arithmetic arithmetic :
         {Arithmetic::tensor, Arithmetic::tf32, Arithmetic::plain, Arithmetic::twofold}) {
      out << " | " << rounded(peak(device, arithmetic) / 1e12);
    }
    out << " |\n";
  }
  out << "\n| kernel | bytes | FLOP | FLOP/byte |";
  for (const Device& device : devices) {
    out << ' ' << device.name << " |";
  }
  out << "\n|---|--:|--:|--:|--:|--:|--:|\n";
  for (const Traffic& traffic : all) {
    out << "| `" << traffic.kernel << "` | " << rounded(traffic.bytes) << " | "
        << rounded(traffic.flops) << " | "
        << (traffic.bytes > 0 ? rounded(traffic.flops / traffic.bytes) : "-") << " |";
    for (const Device& device : devices) {
      const double moving = traffic.bytes / device.memory;
      const double working = traffic.flops / peak(device, arithmetic_of(traffic.kernel));
      out << ' ' << rounded(std::max(moving, working) * 1e6)
          << (moving >= working ? " M |" : " A |");
    }
    out << '\n';
  }
}

/// A kernel on all targets.
using Row = std::map<int, const Kernel*>;

/// "72 / 72 / 87": a number on every target.
template <class F>
std::string on_all(const bounds::Table& table, const Row& row, F value) {
  std::string text;
  for (const int target : table.targets) {
    const auto at = row.find(target);
    text += (text.empty() ? "" : " / ") +
            (at == row.end() ? std::string("-") : std::to_string(value(*at->second)));
  }
  return text;
}

/// "HMMA 64, LDG 24..26": what differs between targets as a range.
inline std::string mix_of(const Row& row) {
  std::string text;
  for (const binaries::Operation& operation : binaries::operations) {
    int least = row.begin()->second->mix.at(operation.name);
    int most = least;
    for (const auto& [target, kernel] : row) {
      least = std::min(least, kernel->mix.at(operation.name));
      most = std::max(most, kernel->mix.at(operation.name));
    }
    if (most > 0) {
      text += (text.empty() ? "" : ", ") + std::string(operation.name) + ' ' +
              std::to_string(least) + (least < most ? ".." + std::to_string(most) : "");
    }
  }
  return text;
}

/// Markdown. `traffic` may be empty.
inline void write(std::ostream& out, const bounds::Table& table, const std::vector<Kernel>& kernels,
                  const std::vector<Traffic>& traffic) {
  std::map<std::string, std::map<std::string, Row>> families;
  for (const Kernel& kernel : kernels) {
    families[kernel.name.substr(0, kernel.name.find('<'))][kernel.name][kernel.arch] = &kernel;
  }
  std::string targets;
  for (const int target : table.targets) {
    targets += (targets.empty() ? "sm_" : " / ") + std::to_string(target);
  }
  out << "# CUDA kernels\n\n"
         "Generated by tests/cuda/kernels/check.sh from what nvcc makes of the kernels; nothing "
         "has\n"
         "been run. The same script demands that no kernel has a stack frame, spills registers,\n"
         "touches local memory or has static shared memory, and compares registers and "
         "instructions\n"
         "with tests/cuda/kernels/bounds.txt.\n";
  if (!traffic.empty()) {
    floors(out, traffic);
  }
  out << "\n## Kernels\n\n"
      << "Registers of a thread and instructions of the binary, on " << targets
      << " (-: not made there).\nIn "
         "the mix a range spans the targets; the body of a loop counts once.\n";
  for (const auto& [family, rows] : families) {
    out << "\n### " << family
        << "\n\n| template arguments | registers | instructions | mix |\n|---|--:|--:|---|\n";
    for (const auto& [name, row] : rows) {
      out << "| `" << name.substr(family.size()) << "` | "
          << on_all(table, row, [](const Kernel& kernel) { return kernel.registers; }) << " | "
          << on_all(table, row, [](const Kernel& kernel) { return kernel.instructions; }) << " | "
          << mix_of(row) << " |\n";
    }
  }
}

}  // namespace page
