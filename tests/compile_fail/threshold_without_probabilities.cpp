// SPDX-License-Identifier: Apache-2.0
// expect: this selector collects probability mass, but rows of the score do not sum to 1
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = score::Sigmoid;
#else
using Slot = score::Softmax;
#endif

static_assert(sizeof(Router<gate::Linear, Slot, select::Threshold>) > 0);
