// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/moe_layer.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Where a recipe comes from, and how much of it is here.
struct Citation {
  const char* system;
  const char* title;
  const char* source;       ///< arXiv number, or the repository where there is no paper
  const char* verified;     ///< "authors' code", "formula only" or "after the abstract", and what
  const char* not_covered;  ///< what the system has besides; "" = nothing of the layer
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
