// SPDX-License-Identifier: Apache-2.0
// expect: no matching (member )?function
#define XMOE_CUDA_EMULATION
#include <xmoe/cuda.cuh>

using namespace xmoe;

#if defined(XMOE_BAD)
using Space = host;
#else
using Space = device;
#endif

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, expert::Ffn<>,
                       dispatch::Dropless, Cuda<float>>;
void run(const Layer& layer, MatrixView<const float, Space> x, MatrixView<float, Space> y) {
  layer.forward(x, y);
}
