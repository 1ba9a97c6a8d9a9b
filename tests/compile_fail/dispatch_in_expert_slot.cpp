// SPDX-License-Identifier: Apache-2.0
// expect: the second argument is not an Expert: it needs forward\(ctx, own, plan, x, y, cache\)
// errors: 1
#include <xmoe/xmoe.hpp>

using namespace xmoe;

#if defined(XMOE_BAD)
using Second = dispatch::Dropless;
#else
using Second = expert::Glu<activation::Silu>;
#endif

static_assert(sizeof(MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, Second,
                              dispatch::Dropless>) > 0);
