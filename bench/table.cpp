// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"
#include "results.hpp"
#include "sweeps.hpp"

namespace xmoe_bench {

namespace {

/// Workloads that one layer serves, in the order given.
std::vector<std::vector<Shape>> by_layer(const std::vector<Shape>& workloads) {
  std::vector<std::vector<Shape>> result;
  for (const Shape& shape : workloads) {
    const auto same = std::find_if(result.begin(), result.end(), [&](const auto& group) {
      return group.front().same_layer(shape);
    });
    if (same == result.end()) {
      result.push_back({shape});
    } else {
      same->push_back(shape);
    }
  }
  return result;
}

void run_layer(const Options& options, const std::vector<Shape>& workloads, const Bank& bank,
               Contest& contest, std::vector<Row>& rows) {
  for (const Pass pass : options.passes) {
    contest.prepare(pass);
    for (const Shape& shape : workloads) {
      for (const Skew skew : options.skews) {
        const Problem problem(bank, shape, skew, options.walk(shape));
        Row row = contest.measure(problem, options.effort);
        row.skew = name_of(skews, skew);
        if (options.check_only) {
          std::printf("%s %s %s %s: results agree, relative difference %.1e", row.workload.c_str(),
                      row.scalar.c_str(), row.pass.c_str(), row.skew.c_str(), row.error);
          for (const auto& [name, number] : row.more) {
            std::printf(", %s %.1e", name.c_str(), number);
          }
          std::printf("\n");
        } else {
          print(row);
          rows.push_back(std::move(row));
        }
      }
    }
  }
}

}  // namespace

void run_table(const Options& options, std::vector<Row>& rows) {
  if (!options.check_only) {
    print_header();
  }
  for (const std::vector<Shape>& workloads : by_layer(options.workloads)) {
    Progress::step(std::string(workloads.front().name) + ": preparing");
    const Bank bank(workloads.front());
    const Field field{.slow_start = !options.quick || bank.up.size() < (index{1} << 28)};
    for (const Scalar scalar : options.scalars) {
      for (const index threads : options.threads) {
        Progress::detail(std::string(workloads.front().name) + ": packing weights");
        Contest contest(bank, scalar, threads, field);
        run_layer(options, workloads, bank, contest, rows);
      }
    }
  }
}

}  // namespace xmoe_bench
