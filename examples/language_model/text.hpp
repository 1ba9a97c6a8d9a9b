// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common.hpp"

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace lm {

/// The whole of a file.
inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    throw user_error("cannot read '" + path + "', or it is empty");
  }
  return std::move(text).str();
}

/// Drops the first word of every line ("Ge1:1 In the beginning ..." -> "In the beginning ...").
inline std::string without_references(const std::string& lines) {
  std::string text;
  text.reserve(lines.size());
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    text += line.substr(line.find(' ') + 1) + '\n';
  }
  return text;
}

/// The King James Bible as Debian ships it, one verse a line: 31,102 lines, 4,137,850 characters.
inline std::string king_james() {
  const auto close = [](std::FILE* f) { pclose(f); };
  const std::unique_ptr<std::FILE, decltype(close)> output(
      popen("bible -f gen1:1-rev22:21 2>/dev/null", "r"), close);
  std::string lines;
  char block[1 << 16];
  while (output) {
    const std::size_t got = std::fread(block, 1, sizeof block, output.get());
    if (got == 0) {
      break;
    }
    lines.append(block, got);
  }
  if (lines.empty()) {
    throw user_error(
        "the King James text is missing: install the Debian packages bible-kjv and bible-kjv-text, "
        "or name a text with --text FILE");
  }
  return without_references(lines);
}

}  // namespace lm
