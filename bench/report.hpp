// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "limits.hpp"
#include "shapes.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace xmoe_bench {

/// Repeated measurements of one thing.
struct Samples {
  std::vector<double> values;

  double quantile(double q) const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double median() const { return quantile(0.5); }
  /// Half the distance of the quartiles, as a share of the median.
  double spread() const { return 0.5 * (quantile(0.75) - quantile(0.25)) / median(); }
};

/// One line of the table: a workload, a pass, two sides.
struct Row {
  std::string workload;
  std::string pass;
  std::string skew;
  index threads;
  double flops;  ///< of one call
  double bytes;  ///< that one call must move
  double error;  ///< relative, between the sides
  Samples ours;  ///< seconds of one call
  Samples eigen;
  Samples ours_processor;  ///< the same in processor time
  Samples eigen_processor;
  Samples peak_gflops;  ///< of the machine, between the rounds
  Samples peak_gbytes;

  static constexpr double noise = 1.03;

  double ratio() const { return ours.median() / eigen.median(); }
  double processor_ratio() const { return ours_processor.median() / eigen_processor.median(); }
  bool slower() const { return ratio() > noise; }
  /// The time that the machine's limits allow.
  double limit() const {
    return std::max(flops / peak_gflops.median(), bytes / peak_gbytes.median()) * 1e-9;
  }
};

inline void print_header() {
  std::printf("%-9s %-8s %-7s %2s  %9s %5s  %9s %5s  %6s %6s  %7s %6s %7s %8s\n", "workload",
              "pass", "skew", "n", "ours ms", "+-", "eigen ms", "+-", "ratio", "cpu", "GFLOP/s",
              "GB/s", "% limit", "error");
}
inline void print(const Row& row) {
  std::printf(
      "%-9s %-8s %-7s %2td  %9.3f %4.1f%%  %9.3f %4.1f%%  %6.3f %6.3f  %7.1f %6.1f %6.0f%% "
      "%8.1e%s\n",
      row.workload.c_str(), row.pass.c_str(), row.skew.c_str(), row.threads,
      row.ours.median() * 1e3, row.ours.spread() * 100, row.eigen.median() * 1e3,
      row.eigen.spread() * 100, row.ratio(), row.processor_ratio(),
      row.flops / row.ours.median() * 1e-9, row.bytes / row.ours.median() * 1e-9,
      row.limit() / row.ours.median() * 100, row.error, row.slower() ? "  SLOWER" : "");
  std::fflush(stdout);
}

/// The processor's name, where the system tells.
inline std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(std::min(line.size(), line.find(':') + 2));
    }
  }
  return "unknown";
}

inline void write_json(const std::string& path, const std::vector<Row>& rows) {
  std::ofstream out(path);
  const auto list = [&](const char* name, const Samples& samples, double unit) {
    out << ", \"" << name << "\": [";
    for (std::size_t i = 0; i < samples.values.size(); ++i) {
      out << (i > 0 ? ", " : "") << samples.values[i] * unit;
    }
    out << "]";
  };
  out << "{\n  \"processor\": \"" << processor() << "\", \"compiler\": \"" << __VERSION__
      << "\", \"vector_bytes\": " << XMOE_VECTOR_BYTES
      << ", \"hardware_threads\": " << std::thread::hardware_concurrency() << ",\n  \"rows\": [\n";
  for (const Row& row : rows) {
    out << "    {\"workload\": \"" << row.workload << "\", \"pass\": \"" << row.pass
        << "\", \"skew\": \"" << row.skew << "\", \"threads\": " << row.threads
        << ", \"ours_ms\": " << row.ours.median() * 1e3
        << ", \"eigen_ms\": " << row.eigen.median() * 1e3 << ", \"ratio\": " << row.ratio()
        << ", \"processor_ratio\": " << row.processor_ratio()
        << ", \"slower\": " << (row.slower() ? "true" : "false")
        << ", \"gflop\": " << row.flops * 1e-9 << ", \"gbyte\": " << row.bytes * 1e-9
        << ", \"limit_ms\": " << row.limit() * 1e3 << ", \"error\": " << row.error;
    list("ours_samples_ms", row.ours, 1e3);
    list("eigen_samples_ms", row.eigen, 1e3);
    list("ours_processor_ms", row.ours_processor, 1e3);
    list("eigen_processor_ms", row.eigen_processor, 1e3);
    list("peak_gflops", row.peak_gflops, 1.0);
    list("peak_gbytes", row.peak_gbytes, 1.0);
    out << "}" << (&row == &rows.back() ? "\n" : ",\n");
  }
  out << "  ]\n}\n";
  if (!out.flush()) {
    std::fprintf(stderr, "xmoe_floor: cannot write %s\n", path.c_str());
  }
}

}  // namespace xmoe_bench
