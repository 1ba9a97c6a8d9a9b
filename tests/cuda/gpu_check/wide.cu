// SPDX-License-Identifier: Apache-2.0
#include "checks.hpp"
#include "sides.hpp"
#include "timings.hpp"

void gpu_check::append_wide_checks(Checks& list) {
  append_checks<float>(list, "float");
  append_checks<double>(list, "double");
}
gpu_check::Side gpu_check::float_side() {
  return {"float", measure_limits<float>, time_workload<float>};
}
