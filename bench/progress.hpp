// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <unistd.h>
#include <cstdio>
#include <string>

namespace xmoe_bench {

/// What is going on, on standard error. A terminal shows one line that changes; elsewhere steps are
/// lines of their own, and details inside of a step are left out.
class Progress {
 public:
  static void step(const std::string& text) { show(text, true); }
  static void detail(const std::string& text) { show(text, false); }
  /// Before anything else is printed.
  static void clear() {
    if (terminal()) {
      std::fputs("\r\033[K", stderr);
    }
  }

 private:
  static bool terminal() {
    static const bool result = isatty(STDERR_FILENO) != 0;
    return result;
  }
  static void show(const std::string& text, bool always) {
    if (terminal()) {
      std::fprintf(stderr, "\r\033[K%.100s", text.c_str());
      std::fflush(stderr);
    } else if (always) {
      std::fprintf(stderr, "%s\n", text.c_str());
    }
  }
};

}  // namespace xmoe_bench
