// SPDX-License-Identifier: Apache-2.0
// expect: the first argument is not a Router: it needs forward\(ctx, own, batch, experts\) const
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

using Ffn = expert::Ffn<activation::Gelu>;
#if defined(XMOE_BAD)
using First = Ffn;
#else
using First = Router<gate::Linear, score::Softmax, select::TopK>;
#endif

static_assert(sizeof(MoeLayer<First, Ffn, dispatch::Dropless>) > 0);
