// SPDX-License-Identifier: Apache-2.0
// expect: xmoe::MoeLayer::add_loss: this loss does not run on Cuda traits; see xmoe::supports
#define XMOE_CUDA_EMULATION
#include <xmoe/cuda.cuh>

using namespace xmoe;

struct Mine {
  double evaluate(auto&&...) const { return 0.0; }
};

#if defined(XMOE_BAD)
using Term = Mine;
#else
using Term = loss::ZLoss;
#endif

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, expert::Ffn<>,
                       dispatch::Dropless, Cuda<float>>;
void add(const Layer& layer, Layer::Tape& tape) { layer.add_loss(tape, Term{}); }
