// SPDX-License-Identifier: Apache-2.0
// Layers of the library beside other ways to compute them: the same numbers, the same routing, in
// turn in one process.
#include "progress.hpp"
#include "results.hpp"
#include "sweeps.hpp"

namespace xmoe_bench {

namespace {

int run(const Options& options) {
  std::vector<Row> rows;
  Machine machine;
  if (!options.check_only) {
    Progress::step("limits of the machine");
    machine = look_at_machine(options.most_threads());
    Progress::clear();
    print_machine(machine);
  }
  if (options.table) {
    run_table(options, rows);
  }
  if (options.check_only) {
    return 0;
  }
  run_sweeps(options, rows);
  if (options.router) {
    run_router_share(options, rows);
  }
  Progress::clear();
  const auto missing = [](const std::string& path) {
    std::fprintf(stderr, "xmoe_compare: cannot write %s\n", path.c_str());
    return 2;
  };
  if (!options.json.empty() && !write_json(options.json, machine, rows)) {
    return missing(options.json);
  }
  if (!options.html.empty() && !write_html(options.html, machine, rows)) {
    return missing(options.html);
  }
  const auto slower = std::count_if(rows.begin(), rows.end(),
                                    [](const Row& row) { return row.slower_than_eigen(); });
  if (slower > 0) {
    std::printf("slower than the Eigen loop in %td of %zu rows\n", slower, rows.size());
  }
  return slower > 0 && options.strict ? 1 : 0;
}

}  // namespace

}  // namespace xmoe_bench

int main(int count, char** arguments) {
  try {
    return xmoe_bench::run(xmoe_bench::parse(count, arguments));
  } catch (const std::exception& problem) {
    xmoe_bench::Progress::clear();
    std::fprintf(stderr, "xmoe_compare: %s\n", problem.what());
    return 2;
  }
}
