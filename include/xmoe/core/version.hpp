// SPDX-License-Identifier: Apache-2.0
#pragma once

#define XMOE_VERSION_MAJOR 0
#define XMOE_VERSION_MINOR 1
#define XMOE_VERSION_PATCH 0
#define XMOE_VERSION_STRING "0.1.0"
