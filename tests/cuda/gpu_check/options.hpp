// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

// The command line of xmoe-gpu-check.
namespace gpu_check {

inline constexpr const char* usage =
    "xmoe-gpu-check [options]: checks layers on this machine's GPU against a float64 oracle, then\n"
    "times them. CUDA_VISIBLE_DEVICES chooses the GPU.\n"
    "\n"
    "  --list           names of all checks and timings, and nothing else\n"
    "  --filter TEXT    only those whose name has TEXT in it\n"
    "  --no-timings     checks alone\n"
    "  --report FILE    where the Markdown report goes (build/gpu_check.md)\n"
    "  --help           this text\n"
    "\n"
    "Exit code: 0 all is well, or there is no device (one line says so); 1 a check failed; 2 the\n"
    "options are wrong.\n";

struct Options {
  bool help = false;
  bool list = false;
  bool timings = true;
  std::string filter;
  std::string report = "build/gpu_check.md";
  std::string error;  ///< empty: none

  bool selects(const std::string& name) const { return name.find(filter) != std::string::npos; }
};

inline Options parse(const std::vector<std::string>& arguments) {
  Options o;
  for (std::size_t i = 0; i < arguments.size() && o.error.empty(); ++i) {
    const std::size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    const bool attached = equals != std::string::npos;
    std::string* value = name == "--filter" ? &o.filter : name == "--report" ? &o.report : nullptr;
    bool* flag = name == "--help" || name == "-h" ? &o.help : name == "--list" ? &o.list : nullptr;
    if (value != nullptr) {
      if (!attached && i + 1 == arguments.size()) {
        o.error = name + " needs a value";
      } else {
        *value = attached ? arguments[i].substr(equals + 1) : arguments[++i];
        if (value->empty()) {
          o.error = name + " needs a value that is not empty";
        }
      }
    } else if (flag == nullptr && name != "--no-timings") {
      o.error = "there is no option " + arguments[i];
    } else if (attached) {
      o.error = name + " takes no value";
    } else if (flag != nullptr) {
      *flag = true;
    } else {
      o.timings = false;
    }
  }
  return o;
}

}  // namespace gpu_check
