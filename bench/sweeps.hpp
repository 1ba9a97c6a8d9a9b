// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "options.hpp"

namespace xmoe_bench {

/// The workloads of the command line.
void run_table(const Options& options, std::vector<Row>& rows);
/// One thing varies, the rest stays; each prints its points.
void run_sweeps(const Options& options, std::vector<Row>& rows);
/// Layers with a router that learns: its share of the time; time against its threshold.
void run_router_share(const Options& options, std::vector<Row>& rows);
void run_threshold_sweep(const Options& options, std::vector<Row>& rows);

}  // namespace xmoe_bench
