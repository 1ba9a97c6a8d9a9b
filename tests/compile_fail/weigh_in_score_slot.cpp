// SPDX-License-Identifier: Apache-2.0
// expect: the second argument is not a Score: it needs row\(logits, scores\) const
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = weigh::Raw;
#else
using Slot = score::Softmax;
#endif

static_assert(sizeof(Router<gate::Linear, Slot, select::TopK>) > 0);
