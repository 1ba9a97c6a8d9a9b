// SPDX-License-Identifier: Apache-2.0
// expect: (cannot convert|no viable conversion|could not convert).*SelectionKey
// errors: 1
#include <xmoe/core/order.hpp>

// What selection sorts by, bias included, never becomes a weight.
float weight(xmoe::SelectionKey<float> key) {
#if defined(XMOE_BAD)
  return key;
#else
  return key.value;
#endif
}
