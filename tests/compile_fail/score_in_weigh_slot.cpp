// SPDX-License-Identifier: Apache-2.0
// expect: the fourth argument is not a Weigh: it needs row\(WeighRow, weights\) const
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = score::Softmax;
#else
using Slot = weigh::Raw;
#endif

static_assert(sizeof(Router<gate::Linear, score::Softmax, select::TopK, Slot>) > 0);
