// SPDX-License-Identifier: Apache-2.0
// xmoe-gpu-check: layers on this machine's GPU against the float64 oracle, then timed.
#include <cstdarg>
#include <filesystem>
#include <fstream>

#include "options.hpp"
#include "sides.hpp"

namespace gpu_check {
namespace {

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}
std::string version(int number) {
  return std::to_string(number / 1000) + '.' + std::to_string(number % 1000 / 10);
}
std::string reason(cudaError_t status) {
  return std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status);
}

/// Why nothing can run here; empty: it can. Else fills in what the machine is.
std::string no_device(std::vector<std::string>& machine) {
  int count = 0, device = 0, driver = 0, runtime = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    return reason(status);
  }
  if (count == 0) {
    return "the driver lists none";
  }
  cudaDeviceProp p{};
  for (const cudaError_t s : {cudaGetDevice(&device), cudaGetDeviceProperties(&p, device),
                              cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime)}) {
    if (s != cudaSuccess) {
      return reason(s);
    }
  }
  const std::string capability = std::to_string(p.major) + '.' + std::to_string(p.minor);
  if (p.major < 8) {
    return std::string(p.name) + " has compute capability " + capability + ", the kernels need 8.0";
  }
  machine = {std::string("device: ") + p.name + ", compute capability " + capability + ", " +
                 std::to_string(p.multiProcessorCount) + " multiprocessors, " +
                 text("%.1f GiB", static_cast<double>(p.totalGlobalMem) / (1 << 30)) + ", L2 " +
                 text("%.0f MiB", p.l2CacheSize / 1048576.0),
             "CUDA driver " + version(driver) + ", runtime " + version(runtime)};
  return {};
}

/// After an illegal access or the like no call works any more.
std::string lost() {
  static_cast<void>(cudaGetLastError());
  const cudaError_t status = cudaDeviceSynchronize();
  return status == cudaSuccess ? "" : reason(status);
}

int run_checks(const Checks& checks, Page& page) {
  int failed = 0;
  for (const Check& check : checks) {
    const Outcome outcome = run(check);
    const Findings& f = outcome.findings;
    char line[300];
    std::snprintf(line, sizeof line, "%-6s  %-72s %4d comparisons, worst %.2f of allowed, %.2f s",
                  outcome.passed() ? "ok" : "FAILED", check.name.c_str(), f.comparisons(),
                  f.worst(), outcome.seconds);
    say(line);
    for (std::size_t i = 0; i < f.problems().size() && i < 10; ++i) {
      say("        " + f.problems()[i]);
    }
    if (f.problems().size() > 10) {
      say("        and " + std::to_string(f.problems().size() - 10) + " more, see the report");
    }
    failed += outcome.passed() ? 0 : 1;
    page.checks.push_back({check.name, outcome});
    if (const std::string why = lost(); !why.empty()) {
      page.remark =
          "The device is lost (" + why + "); what comes after " + check.name + " was not run.";
      say(page.remark);
      return failed + 1;
    }
  }
  say(std::to_string(checks.size() - static_cast<std::size_t>(failed)) + " of " +
      std::to_string(checks.size()) + " checks passed");
  return failed;
}

std::string name_of(const Side& side, const Workload& w) {
  return std::string("timing, ") + side.scalar + ", " + w.name + ": " + w.system;
}

void run_timings(const Options& options, const std::vector<Side>& sides, Page& page) {
  const xmoe::cuda::Stream stream;
  Stopwatch watch(stream.get());
  for (const Side& side : sides) {
    bool first = true;
    for (const Workload& w : workloads) {
      if (!options.selects(name_of(side, w))) {
        continue;
      }
      if (first) {
        page.limits.push_back(side.limits(watch, side.scalar));
        say("\n" + line_of(page.limits.back()) + "\n\n" + line_of(head()));
        first = false;
      }
      for (const Timing& t : side.time(watch, w, side.scalar)) {
        say(line_of(row_of(t, page.limits.back())));
        page.timings.push_back(t);
      }
    }
  }
}

int run_program(const Options& options, const std::string& command) {
  Checks all, checks;
  append_wide_checks(all);
  append_bfloat16_checks(all);
  append_half_checks(all);
  std::vector<std::string> names;
  for (const Check& c : all) {
    if (options.selects(c.name)) {
      checks.push_back(c);
      names.push_back(c.name);
    }
  }
  const std::vector<Side> sides = {bfloat16_side(), float_side()};
  std::size_t timed = 0;
  for (const Side& side : sides) {
    for (const Workload& w : workloads) {
      if (options.timings && options.selects(name_of(side, w))) {
        names.push_back(name_of(side, w));
        ++timed;
      }
    }
  }
  if (names.empty()) {
    std::fprintf(stderr, "xmoe-gpu-check: no name has \"%s\" in it; see --list\n",
                 options.filter.c_str());
    return 2;
  }
  if (options.list) {
    for (const std::string& name : names) {
      say(name);
    }
    return 0;
  }
  Page page;
  if (const std::string why = no_device(page.machine); !why.empty()) {
    say("no device: " + why);
    return 0;
  }
  std::error_code ignored;  // the file says whether it can be written
  std::filesystem::create_directories(std::filesystem::path(options.report).parent_path(), ignored);
  std::ofstream report(options.report);
  if (!report) {
    std::fprintf(stderr, "xmoe-gpu-check: --report %s cannot be written\n", options.report.c_str());
    return 2;
  }
  page.machine.push_back("command: " + command);
  for (const std::string& line : page.machine) {
    say(line);
  }
  int failed = run_checks(checks, page);
  if (timed > 0 && failed > 0) {
    page.remark += page.remark.empty() ? "Nothing is timed while a check fails." : "";
    say("nothing is timed while a check fails");
  } else if (timed > 0) {
    try {
      run_timings(options, sides, page);
    } catch (const std::exception& e) {
      page.remark = std::string("Timings ended by an error: ") + e.what();
      say(page.remark);
      ++failed;
    }
  }
  report << page.markdown();
  report.close();
  say("report: " + options.report);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gpu_check

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const gpu_check::Options options = gpu_check::parse(arguments);
  if (!options.error.empty()) {
    std::fprintf(stderr, "xmoe-gpu-check: %s; see --help\n", options.error.c_str());
    return 2;
  }
  if (options.help) {
    std::fputs(gpu_check::usage, stdout);
    return 0;
  }
  std::string command = "xmoe-gpu-check";
  for (const std::string& a : arguments) {
    command += ' ' + a;
  }
  try {
    return gpu_check::run_program(options, command);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "xmoe-gpu-check: %s\n", e.what());
    return 1;
  }
}
