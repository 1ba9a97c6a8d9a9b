// SPDX-License-Identifier: Apache-2.0
#include "checks.hpp"
#include "sides.hpp"
#include "timings.hpp"

void gpu_check::append_bfloat16_checks(Checks& list) {
  append_checks<xmoe::bfloat16>(list, "bfloat16");
}
gpu_check::Side gpu_check::bfloat16_side() {
  return {"bfloat16", measure_limits<xmoe::bfloat16>, time_workload<xmoe::bfloat16>};
}
