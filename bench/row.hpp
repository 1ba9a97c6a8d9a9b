// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace xmoe_bench {

/// Repeated measurements of one thing.
struct Samples {
  std::vector<double> values;

  bool empty() const { return values.empty(); }
  double quantile(double q) const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double median() const { return quantile(0.5); }
  /// Half the distance of the quartiles, as a share of the median.
  double spread() const { return 0.5 * (quantile(0.75) - quantile(0.25)) / median(); }
};

/// Somebody else's times, and ours of the same rounds.
struct Rival {
  std::string name;
  Samples seconds;
  Samples ours;

  /// How many times as long as we.
  double ratio() const { return seconds.median() / ours.median(); }
};

/// One measurement: who, what, how long, and what the machine allowed in the same rounds.
struct Row {
  std::string workload;
  std::string scalar;  ///< f32 or bf16: how the experts' weights are stored
  std::string pass;
  std::string skew = "uniform";
  std::string sweep;      ///< empty: a row of the main table
  std::string parameter;  ///< what the sweep varies
  double value = 0.0;     ///< its value
  std::ptrdiff_t threads = 1;
  double flops = 0.0;   ///< of one call
  double bytes = 0.0;   ///< that one call has to move
  double error = -1.0;  ///< the largest relative difference to the Eigen loop; negative: unknown
  Samples ours;         ///< seconds of one call
  std::vector<Rival> rivals;
  Samples peak_gflops;  ///< of the scalar, between the rounds
  Samples peak_gbytes;
  std::vector<std::pair<std::string, double>> more;  ///< further numbers by name

  static constexpr double noise = 1.03;

  const Rival* rival(const std::string& name) const {
    const auto found =
        std::find_if(rivals.begin(), rivals.end(), [&](const Rival& r) { return r.name == name; });
    return found == rivals.end() ? nullptr : &*found;
  }
  /// The time that the machine's limits allow. Forward: every multiply-add, and the weights of the
  /// experts that run are read once. Backward: twice the multiply-adds; weights are read once and
  /// their gradients (float) written once, past the caches.
  double limit() const {
    return std::max(flops / peak_gflops.median(), bytes / peak_gbytes.median()) * 1e-9;
  }
  bool has_limit() const { return !peak_gflops.empty() && flops > 0.0; }
  double share_of_limit() const { return limit() / ours.median(); }
  bool slower_than_eigen() const {
    const Rival* eigen = rival("eigen");
    return eigen != nullptr && eigen->ratio() * noise < 1.0;
  }
};

}  // namespace xmoe_bench
