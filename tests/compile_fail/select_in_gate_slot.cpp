// SPDX-License-Identifier: Apache-2.0
// expect: the first argument is not a Gate: it needs forward
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = select::TopK;
#else
using Slot = gate::Linear;
#endif

static_assert(sizeof(Router<Slot, score::Softmax, select::Threshold>) > 0);
