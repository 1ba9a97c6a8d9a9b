// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/interop/device_layer.hpp>

std::unique_ptr<xmoe::portable::DeviceLayer> make_first();
std::unique_ptr<xmoe::portable::DeviceLayer> make_second();
