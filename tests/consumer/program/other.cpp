// SPDX-License-Identifier: Apache-2.0
#include "layer.hpp"

double other() { return step(); }
