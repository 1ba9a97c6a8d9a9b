// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/moe_layer.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Where a recipe comes from.
struct Citation {
  const char* system;
  const char* title;
  const char* source;  ///< arXiv number
};

/// A published layer: its shape and its hyper-parameters, ready for the constructor.
template <class Layer>
struct Published {
  using layer = Layer;
  Sizes sizes;
  typename Layer::Config config;
  float balance_coefficient;  ///< lambda of the balance loss; 0 = none

  Layer make(typename Layer::backend_type backend = {}) const {
    return Layer(sizes, config, std::move(backend));
  }
};

}  // namespace xmoe::inline XMOE_ABI::recipes
