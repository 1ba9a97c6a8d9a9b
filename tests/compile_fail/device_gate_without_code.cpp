// SPDX-License-Identifier: Apache-2.0
// expect: xmoe::MoeLayer: this Router does not run on Cuda traits: its Gate has no device
// errors: 1
#define XMOE_CUDA_EMULATION
#include <xmoe/cuda.cuh>

using namespace xmoe;

struct Mine {
  void forward(auto&, const auto&, const auto&, auto) const {}
};

#if defined(XMOE_BAD)
using Slot = Mine;
#else
using Slot = gate::Linear;
#endif

static_assert(sizeof(MoeLayer<Router<Slot, score::Softmax, select::TopK>, expert::Ffn<>,
                              dispatch::Dropless, Cuda<float>>) > 0);
