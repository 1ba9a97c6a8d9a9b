// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/parameters.hpp>

namespace xmoe::inline XMOE_ABI {

/// What the slots of a layer own. Weights and gradients have this type alike.
template <class Router, class Expert, class Traits>
struct LayerWeights {
  weights_of<Router, Traits> router;
  weights_of<Expert, Traits> expert;

  /// Every tensor by name, in the order of files.
  Parameters parameters() {
    Parameters list;
    detail::append(list, "router.", router);
    detail::append(list, "expert.", expert);
    return list;
  }
};

}  // namespace xmoe::inline XMOE_ABI
