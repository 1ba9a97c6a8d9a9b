// SPDX-License-Identifier: Apache-2.0
// expect: the third argument is not a Select: it needs row\(SelectRow\) const
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Slot = gate::Linear;
#else
using Slot = select::TopK;
#endif

static_assert(sizeof(Router<gate::Linear, score::Softmax, Slot>) > 0);
