// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/config.hpp>

namespace xmoe::inline XMOE_ABI {

/// The shape of a layer.
struct Sizes {
  index model_dim = 0;   ///< D, width of a token
  index experts = 0;     ///< E, experts that run
  index expert_dim = 0;  ///< H, hidden width of one expert

  friend constexpr bool operator==(const Sizes&, const Sizes&) = default;
};

}  // namespace xmoe::inline XMOE_ABI
