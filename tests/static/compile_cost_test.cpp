// SPDX-License-Identifier: Apache-2.0
// What headers cost those who include them, in CPU seconds (user + system of the compiler), so that
// the load of the machine does not matter. The limits are given for a machine that needs 0.4 s for
// <vector>, <span> and <concepts>; a slower one gets more, a faster one not less.
#include <sys/resource.h>

#include <cstdlib>
#include <random>

#include "support/catch.hpp"
#include "tree.hpp"

namespace {

namespace fs = std::filesystem;

double child_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Compiles one small file that includes these headers; nothing is instantiated.
class Compiler {
 public:
  Compiler() {
    file_ = fs::temp_directory_path() /
            ("xmoe_cost_" + std::to_string(std::random_device()()) + ".cpp");
    command_ = std::string("'") + XMOE_TEST_CXX + "' -std=c++20 -O0 -fsyntax-only -I '" +
               XMOE_TEST_ROOT + "/include'";
    const std::string eigen = XMOE_TEST_EIGEN;
    for (std::size_t start = 0; start < eigen.size();) {
      const std::size_t end = std::min(eigen.find(':', start), eigen.size());
      command_ += " -isystem '" + eigen.substr(start, end - start) + "'";
      start = end + 1;
    }
    command_ += " '" + file_.string() + "'";
  }
  ~Compiler() { fs::remove(file_); }
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;

  double seconds(const std::vector<std::string>& headers) const {
    {
      std::ofstream out(file_);
      for (const std::string& header : headers) {
        out << "#include <" << header << ">\n";
      }
    }
    const double before = child_seconds();
    REQUIRE(std::system(command_.c_str()) == 0);
    return child_seconds() - before;
  }
  /// CPU seconds on the machine of the limits. One that is within the limit at once is not measured
  /// again; else the least of five, each beside the headers that take 0.4 s there: what else runs
  /// on this machine only adds.
  double cost(const std::vector<std::string>& headers, double limit) const {
    const double once = seconds(headers);
    if (once <= limit) {
      return once;
    }
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) {
      const double known = seconds({"vector", "span", "concepts"});
      times.push_back(seconds(headers) / std::max(1.0, known / 0.4));
    }
    return *std::min_element(times.begin(), times.end());
  }

 private:
  fs::path file_;
  std::string command_;
};

constexpr double header_limit = 0.6;
constexpr double umbrella_limit = 4.0;

}  // namespace

TEST_CASE("a header of core, concepts, router or dispatch costs at most 0.6 CPU seconds",
          "[static][compile_cost]") {
  const Compiler compiler;
  double most = 0;
  std::string which;
  for (const tree::Header& header : tree::read_all(fs::path(XMOE_TEST_ROOT) / "include")) {
    const std::string room = tree::room_of(header.path);
    if (room == "core" || room == "concepts" || room == "router" || room == "dispatch") {
      const double cost = compiler.cost({"xmoe/" + header.path}, header_limit);
      INFO(header.path << ": " << cost << " CPU seconds, limit " << header_limit);
      CHECK(cost <= header_limit);
      if (cost > most) {
        most = cost;
        which = header.path;
      }
    }
  }
  CHECK(most > 0);
  WARN("most expensive: " << which << ", " << most << " CPU seconds of " << header_limit);
}

TEST_CASE("the umbrella header costs at most 4 CPU seconds", "[static][compile_cost]") {
  if (!fs::exists(fs::path(XMOE_TEST_ROOT) / "include/xmoe/xmoe.hpp")) {
    return;
  }
  const Compiler compiler;
  const double cost = compiler.cost({"xmoe/xmoe.hpp"}, umbrella_limit);
  INFO("xmoe/xmoe.hpp: " << cost << " CPU seconds, limit " << umbrella_limit);
  CHECK(cost <= umbrella_limit);
  WARN("xmoe/xmoe.hpp: " << cost << " CPU seconds of " << umbrella_limit);
}

TEST_CASE("the compile cost test notices an expensive header", "[static][compile_cost]") {
  const Compiler compiler;
  CHECK(compiler.cost({"ranges", "random", "regex", "functional", "map", "Eigen/Core"},
                      header_limit) > header_limit);
}
