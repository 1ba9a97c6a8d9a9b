// SPDX-License-Identifier: Apache-2.0
// expect: this router could never learn: with one expert a token, weights renormalised
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = weigh::Normalized;
#else
using Slot = weigh::Raw;
#endif

static_assert(sizeof(Router<gate::Linear, score::Softmax, select::TopOne, Slot>) > 0);
