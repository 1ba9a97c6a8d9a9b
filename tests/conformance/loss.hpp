// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// All of training/loss.
inline auto losses() {
  using namespace xmoe::loss;
  return std::tuple(
      Entry{"load_balance", LoadBalance<>{0.5f}},
      Entry{"load_balance", LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits>{0.02f}},
      Entry{"load_balance", LoadBalance<counting::AllPerClaim, over::NormalizedScores>{1.f}},
      Entry{"z_loss", ZLoss{0.25f}});
}

}  // namespace conformance
