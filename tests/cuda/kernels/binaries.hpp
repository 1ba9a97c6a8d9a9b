// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

// What nvcc made of the kernels: ptxas's log, and the instructions in the binary.
namespace binaries {

/// The low 9 bits of an instruction, for the operations that are counted; sm_80 to sm_100.
struct Operation {
  unsigned code;
  const char* name;
};
inline constexpr std::array operations{
    Operation{0x03c, "HMMA"}, Operation{0x03b, "LDSM"}, Operation{0x1ae, "LDGSTS"},
    Operation{0x023, "FFMA"}, Operation{0x02b, "DFMA"}, Operation{0x108, "MUFU"},
    Operation{0x181, "LDG"},  Operation{0x186, "STG"},  Operation{0x184, "LDS"},
    Operation{0x188, "STS"},  Operation{0x183, "LDL"},  Operation{0x187, "STL"},
    Operation{0x11d, "BAR"},  Operation{0x189, "SHFL"},
};
inline constexpr std::size_t instruction_bytes = 16;

/// One kernel of one binary.
struct Kernel {
  std::string symbol;
  std::string name;  ///< readable(symbol)
  int arch = 0;      ///< 80 for sm_80
  int registers = -1;
  int stack = 0;   ///< bytes, as the next three
  int stored = 0;  ///< spilled
  int loaded = 0;
  int shared = 0;  ///< known at compile time
  int instructions = 0;
  std::map<std::string, int, std::less<>> mix;  ///< by name, every one of `operations`
};

/// A symbol as people write it: no namespaces, result, arguments, or spaces.
inline std::string readable(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  if (status != 0) {
    return symbol;
  }
  std::string full = text;
  std::free(text);
  constexpr std::array<std::pair<const char*, const char*>, 3> casts{
      {{"(Along)0", "depth"}, {"(Along)1", "outer"}, {"(anonymous namespace)", ""}}};
  std::string name;  // without qualifiers: letters before `::` are dropped again
  std::size_t word = 0;
  for (std::size_t i = 0; i < full.size(); ++i) {
    if (full.compare(i, 2, "::") == 0) {
      name.resize(word);
      ++i;
      continue;
    }
    name += full[i];
    if (std::isalnum(static_cast<unsigned char>(full[i])) == 0 && full[i] != '_') {
      word = name.size();
    }
  }
  for (const auto& [from, to] : casts) {
    for (std::size_t at; (at = name.find(from)) != std::string::npos;) {
      name.replace(at, std::strlen(from), to);
    }
  }
  std::string short_name;
  int depth = 0;
  for (const char c : name.substr(name.starts_with("void ") ? 5 : 0)) {
    depth += c == '<' ? 1 : (c == '>' ? -1 : 0);
    if (c == '(' && depth == 0) {
      break;
    }
    if (c != ' ') {
      short_name += c;
    }
  }
  return short_name;
}

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(path + ": cannot be read");
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The instructions of one kernel in a binary.
struct Code {
  std::string symbol;
  std::size_t offset = 0;
  std::size_t size = 0;
};

template <class T>
T number_at(std::string_view bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
    throw std::runtime_error("binary: cut off");
  }
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// The code of all kernels in an ELF64 file, in the order of its section table.
inline std::vector<Code> code_of(std::string_view bytes) {
  if (!bytes.starts_with("\177ELF\2\1")) {
    throw std::runtime_error("binary: not an ELF64 file");
  }
  const auto table = number_at<std::uint64_t>(bytes, 0x28);
  const auto entry = number_at<std::uint16_t>(bytes, 0x3a);
  const auto count = number_at<std::uint16_t>(bytes, 0x3c);
  const auto header = [&](std::size_t i) { return table + i * entry; };
  const auto names =
      number_at<std::uint64_t>(bytes, header(number_at<std::uint16_t>(bytes, 0x3e)) + 0x18);
  constexpr std::string_view prefix = ".text.";
  std::vector<Code> all;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = names + number_at<std::uint32_t>(bytes, header(i));
    const std::string_view name =
        at < bytes.size() ? bytes.substr(at, bytes.find('\0', at) - at) : std::string_view();
    if (!name.starts_with(prefix)) {
      continue;
    }
    const Code code{std::string(name.substr(prefix.size())),
                    number_at<std::uint64_t>(bytes, header(i) + 0x18),
                    number_at<std::uint64_t>(bytes, header(i) + 0x20)};
    if (code.offset > bytes.size() || code.size > bytes.size() - code.offset) {
      throw std::runtime_error("binary: cut off");
    }
    all.push_back(code);
  }
  return all;
}

inline unsigned operation_at(std::string_view bytes, std::size_t offset) {
  return static_cast<unsigned>(number_at<std::uint16_t>(bytes, offset)) & 0x1ffu;
}

/// What ptxas -v says of every kernel; the counts of instructions are empty.
inline std::vector<Kernel> read_log(std::string_view log) {
  std::vector<Kernel> all;
  const auto before = [](std::string_view line, std::string_view unit) {  // N in "N unit"
    const std::size_t end = line.find(unit);
    if (end == std::string_view::npos) {
      return 0;
    }
    std::size_t begin = end;
    while (begin > 0 && std::isdigit(static_cast<unsigned char>(line[begin - 1])) != 0) {
      --begin;
    }
    return std::atoi(std::string(line.substr(begin, end - begin)).c_str());
  };
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    const std::string_view line = log.substr(0, end);
    log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
    constexpr std::string_view entry = "Compiling entry function '";
    if (const std::size_t at = line.find(entry); at != std::string_view::npos) {
      const std::size_t first = at + entry.size();
      const std::size_t target = line.find("sm_", line.find('\'', first));
      Kernel kernel;
      kernel.symbol = line.substr(first, line.find('\'', first) - first);
      kernel.name = readable(kernel.symbol);
      kernel.arch = std::atoi(std::string(line.substr(target + 3)).c_str());
      all.push_back(kernel);
    } else if (!all.empty()) {
      Kernel& kernel = all.back();
      if (line.find(" registers") != std::string_view::npos) {
        kernel.registers = before(line, " registers");
      }
      kernel.stack = std::max({kernel.stack, before(line, " bytes stack frame"),
                               before(line, " bytes cumulative stack")});
      kernel.stored += before(line, " bytes spill stores");
      kernel.loaded += before(line, " bytes spill loads");
      kernel.shared += before(line, " bytes smem");
    }
  }
  return all;
}

/// The kernels of one binary and its log, which have to name the same ones.
inline std::vector<Kernel> read(std::string_view bytes, std::string_view log) {
  std::vector<Kernel> all = read_log(log);
  std::map<std::string, Kernel*, std::less<>> by_symbol;
  for (Kernel& kernel : all) {
    if (kernel.registers < 0) {
      throw std::runtime_error("log: no registers of " + kernel.name);
    }
    by_symbol[kernel.symbol] = &kernel;
  }
  for (const Code& code : code_of(bytes)) {
    const auto found = by_symbol.find(code.symbol);
    if (found == by_symbol.end()) {
      throw std::runtime_error("log: not a word about " + readable(code.symbol));
    }
    Kernel& kernel = *found->second;
    std::array<int, 512> count{};
    for (std::size_t i = 0; i + instruction_bytes <= code.size; i += instruction_bytes) {
      ++count[operation_at(bytes, code.offset + i)];
    }
    for (const Operation& operation : operations) {
      kernel.mix[operation.name] = count[operation.code];
    }
    kernel.instructions = static_cast<int>(code.size / instruction_bytes);
  }
  for (const Kernel& kernel : all) {
    if (kernel.instructions == 0) {
      throw std::runtime_error("binary: no code of " + kernel.name);
    }
  }
  if (all.empty()) {
    throw std::runtime_error("no kernel at all");
  }
  return all;
}

}  // namespace binaries
