// SPDX-License-Identifier: Apache-2.0
// expect: xmoe::MoeLayer: this Expert does not run on Cuda traits; see xmoe::supports
// errors: 1
#define XMOE_CUDA_EMULATION
#include <xmoe/cuda.cuh>

using namespace xmoe;

struct Mine {};

#if defined(XMOE_BAD)
using Slot = Mine;
#else
using Slot = expert::Ffn<>;
#endif

static_assert(sizeof(MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, Slot,
                              dispatch::Dropless, Cuda<float>>) > 0);
