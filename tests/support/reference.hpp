// SPDX-License-Identifier: Apache-2.0
#pragma once
// The oracle of all numeric tests: double, one token at a time, naive loops. Written from the
// formulas of the published descriptions, not from the library. It includes nothing of the library
// and nothing of Eigen; `golden/oracle_*_test.cpp` checks it against published numbers and against
// central differences before anything is compared with it.
#include "reference/layer.hpp"
#include "reference/statistics.hpp"
