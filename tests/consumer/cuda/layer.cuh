// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/cuda.cuh>

// The same layer in two .cu files of one program.
using Layer =
    xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::Threshold>,
                   xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Capacity,
                   xmoe::Cuda<float>>;
