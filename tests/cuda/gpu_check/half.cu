// SPDX-License-Identifier: Apache-2.0
#include "checks.hpp"
#include "sides.hpp"

void gpu_check::append_half_checks(Checks& list) { append_checks<xmoe::half>(list, "half"); }
