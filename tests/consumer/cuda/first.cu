// SPDX-License-Identifier: Apache-2.0
#include "layer.cuh"
#include "layers.hpp"

std::unique_ptr<xmoe::portable::DeviceLayer> make_first() {
  return xmoe::cuda::make_device_layer<Layer>({.model_dim = 48, .experts = 8, .expert_dim = 24});
}
