// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "stopwatch.hpp"

// What the program's .cu files have for each other.
namespace gpu_check {

void append_wide_checks(Checks& list);  ///< float, double
void append_bfloat16_checks(Checks& list);
void append_half_checks(Checks& list);

/// What can be timed of a scalar.
struct Side {
  const char* scalar;
  Limits (*limits)(Stopwatch&, const std::string&);
  std::vector<Timing> (*time)(Stopwatch&, const Workload&, const std::string&);
};
Side float_side();
Side bfloat16_side();

}  // namespace gpu_check
