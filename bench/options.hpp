// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "contest.hpp"

namespace xmoe_bench {

/// What the command line asks for.
struct Options {
  std::vector<Shape> workloads;
  std::vector<Scalar> scalars;
  std::vector<Pass> passes;
  std::vector<index> threads;
  std::vector<Skew> skews;
  std::vector<std::string> sweeps;
  bool table = true;    ///< the workloads
  bool router = false;  ///< share of the router
  bool quick = false;   ///< few rounds; of a sweep few points
  bool check_only = false;
  bool strict = false;  ///< slower than the Eigen loop is a failure
  Effort effort;
  std::string json;
  std::string html;

  /// How many routings a measurement walks through. Quick: a gigabyte of weights or so.
  index walk(const Shape& shape) const {
    const index visited = shape.tokens * (shape.per_token + shape.shared) * shape.expert_size();
    const index enough = 1 + (index{1} << 28) / visited;
    return quick && enough < shape.routings() ? enough : shape.routings();
  }
  index most_threads() const { return *std::max_element(threads.begin(), threads.end()); }
};

/// Ends the program on --help and on wrong use.
Options parse(int count, char** arguments);

}  // namespace xmoe_bench
