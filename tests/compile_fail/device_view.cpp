// SPDX-License-Identifier: Apache-2.0
// expect: (could not convert|no viable conversion|no matching function).*(xmoe::|device)
#include <xmoe/core/view.hpp>

#if defined(XMOE_BAD)
using Space = xmoe::device;
#else
using Space = xmoe::host;
#endif

xmoe::index on_the_host(xmoe::In<float> x) { return x.rows(); }
xmoe::index call(xmoe::MatrixView<float, Space> x) { return on_the_host(x); }
