// SPDX-License-Identifier: Apache-2.0
#include "results.hpp"

#include "limits.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>

namespace xmoe_bench {

namespace {

/// The processor's name, where the system tells.
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(std::min(line.size(), line.find(':') + 2));
    }
  }
  return "unknown processor";
}

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

/// One JSON object, member by member.
class Object {
 public:
  explicit Object(std::ostream& out) : out_(out) { out_ << "{"; }
  void add(const std::string& name, const std::string& text) {
    begin(name);
    out_ << '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        out_ << '\\';
      }
      out_ << c;
    }
    out_ << '"';
  }
  void add(const std::string& name, double number) {
    begin(name);
    put(number);
  }
  void add(const std::string& name, const Samples& samples, double unit) {
    begin(name);
    out_ << "[";
    for (std::size_t i = 0; i < samples.values.size(); ++i) {
      out_ << (i > 0 ? ", " : "");
      put(samples.values[i] * unit);
    }
    out_ << "]";
  }
  void end() { out_ << "}"; }

 private:
  void begin(const std::string& name) {
    out_ << (first_ ? "" : ", ") << '"' << name << "\": ";
    first_ = false;
  }
  void put(double number) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.6g", number);
    out_ << (std::strpbrk(text, "in") == nullptr ? text : "null");
  }

  std::ostream& out_;
  bool first_ = true;
};

void write(std::ostream& out, const Machine& machine, const Row& row) {
  Object object(out);
  if (!row.sweep.empty()) {
    object.add("sweep", row.sweep);
    object.add(row.parameter, row.value);
  }
  object.add("workload", row.workload);
  object.add("scalar", row.scalar);
  object.add("pass", row.pass);
  if (row.parameter != "threads") {
    object.add("threads", static_cast<double>(row.threads));
  }
  object.add("skew", row.skew);
  object.add("ours_ms", row.ours.median() * 1e3);
  object.add("ours_spread", row.ours.spread());
  object.add("rounds", static_cast<double>(row.ours.values.size()));
  if (row.has_limit()) {
    object.add("limit_ms", row.limit() * 1e3);
    object.add("share_of_limit", row.share_of_limit());
    object.add("peak_gflops", row.peak_gflops.median());
    object.add("peak_gbytes", row.peak_gbytes.median());
    object.add("gflop", row.flops * 1e-9);
    object.add("gbyte", row.bytes * 1e-9);
  }
  for (const Rival& rival : row.rivals) {
    object.add(rival.name + "_ms", rival.seconds.median() * 1e3);
    object.add(rival.name + "_spread", rival.seconds.spread());
    object.add(rival.name + "_ratio", rival.ratio());
  }
  if (row.error >= 0.0) {
    object.add("error", row.error);
  }
  for (const auto& [name, number] : row.more) {
    object.add(name, number);
  }
  object.add("ours_samples_ms", row.ours, 1e3);
  object.add("processor", machine.processor);
  object.add("compiler", machine.compiler);
  object.add("vector_bytes", machine.vector_bytes);
  object.end();
}

}  // namespace

Machine look_at_machine(std::ptrdiff_t threads) {
  Machine machine;
  machine.processor = processor();
  machine.compiler = compiler();
  machine.vector_bytes = XMOE_VECTOR_BYTES;
  machine.hardware_threads = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__AVX512BF16__)
  machine.bf16_products = true;
#endif
  machine.threads = static_cast<int>(threads);
  Limits limits(threads);
  const auto best = [](auto&& measure) { return std::max({measure(), measure(), measure()}); };
  machine.f32_gflops = best([&] { return limits.gflops(); });
  machine.bf16_gflops = best([&] { return limits.bf16_gflops(); });
  machine.read_gbytes = best([&] { return limits.read_gbytes(); });
  machine.write_gbytes = best([&] { return limits.write_gbytes(); });
  machine.copy_gbytes = best([&] { return limits.copy_gbytes(); });
  return machine;
}

const char* rival_title(const std::string& name) {
  return name == "eigen"   ? "Eigen loop"
         : name == "dnnl"  ? "oneDNN"
         : name == "xsmm"  ? "libxsmm"
         : name == "torch" ? "PyTorch"
         : name == "dense" ? "dense layer of equal work (ours)"
                           : name.c_str();
}

void print_machine(const Machine& m) {
  std::printf("%s, %d threads at once; %s, vectors of %d bytes\n", m.processor.c_str(),
              m.hardware_threads, m.compiler.c_str(), m.vector_bytes);
  std::printf(
      "limits of %d threads: %.0f GFLOP/s f32, %.0f bf16%s; memory GB/s: read %.1f, write %.1f, "
      "copy %.1f\n",
      m.threads, m.f32_gflops, m.bf16_gflops,
      m.bf16_products ? "" : " (widened: no instruction for it)", m.read_gbytes, m.write_gbytes,
      m.copy_gbytes);
}

void print_header() {
  std::printf(
      "\nTimes in ms; limit: what the machine allowed in the same rounds; others: their time / "
      "ours\n%-9s %-4s %-8s %-7s %2s %9s %5s %9s %6s %7s %6s %7s %6s %6s %6s %6s %8s\n",
      "workload", "", "pass", "skew", "n", "ours", "+-", "limit", "% of", "GFLOP/s", "GB/s",
      "Eigen", "oneDNN", "xsmm", "torch", "dense", "error");
  std::fflush(stdout);
}

void print(const Row& row) {
  std::printf("%-9s %-4s %-8s %-7s %2td %9.3f %4.1f%% ", row.workload.c_str(), row.scalar.c_str(),
              row.pass.c_str(), row.skew.c_str(), row.threads, row.ours.median() * 1e3,
              row.ours.spread() * 100.0);
  std::printf("%9.3f %5.0f%% %7.1f %6.1f ", row.limit() * 1e3, row.share_of_limit() * 100.0,
              row.flops / row.ours.median() * 1e-9, row.bytes / row.ours.median() * 1e-9);
  for (const char* name : rival_names) {
    const Rival* rival = row.rival(name);
    const int width = std::strcmp(name, "eigen") == 0 ? 7 : 6;
    if (rival == nullptr) {
      std::printf("%*s ", width, "-");
    } else {
      std::printf("%*.2f ", width, rival->ratio());
    }
  }
  std::printf("%8.1e%s\n", row.error, row.slower_than_eigen() ? "  SLOWER" : "");
  std::fflush(stdout);
}

bool write_json(const std::string& path, const Machine& machine, const std::vector<Row>& rows) {
  std::ofstream out(path);
  out << "[\n";
  for (const Row& row : rows) {
    out << "  ";
    write(out, machine, row);
    out << (&row == &rows.back() ? "\n" : ",\n");
  }
  out << "]\n";
  return static_cast<bool>(out.flush());
}

}  // namespace xmoe_bench
