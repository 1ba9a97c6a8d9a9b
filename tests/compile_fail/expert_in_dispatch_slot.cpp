// SPDX-License-Identifier: Apache-2.0
// expect: the third argument is not a Dispatch: it needs plan\(ctx, routing, experts\)
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

using Ffn = expert::Ffn<activation::Gelu>;
#if defined(XMOE_BAD)
using Third = Ffn;
#else
using Third = dispatch::Capacity;
#endif

static_assert(sizeof(MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, Ffn, Third>) > 0);
