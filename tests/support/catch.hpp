// SPDX-License-Identifier: Apache-2.0
#pragma once

// Catch2, whichever major version is installed.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define XMOE_CATCH2_MAJOR 3
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#define XMOE_CATCH2_MAJOR 2
#endif
