// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "conformance/entry.hpp"

namespace conformance {

/// Losses of training/loss that do not depend on the order of tokens and experts, and that are not
/// 0 for one expert.
inline auto losses() {
  using namespace xmoe::loss;
  return std::tuple(
      Entry{"load_balance", LoadBalance<>{0.5f}},
      Entry{"load_balance", LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits>{0.02f}},
      Entry{"load_balance", LoadBalance<counting::AllPerClaim, over::NormalizedScores>{1.f}},
      Entry{"chunk_union", ChunkUnion<>{0.5f, 64}},  // one chunk
      Entry{"chunk_union", ChunkUnion<over::SoftmaxOfLogits>{0.5f, 64}}, Entry{"l1", L1{0.5f}},
      Entry{"l1", L1{0.5f, 2}},
      Entry{"sequence_balance", SequenceBalance<>{0.5f, 64}},  // one sequence
      Entry{"z_loss", ZLoss{0.25f}});
}

/// The others; their tests hold them to training/loss/suite.hpp.
inline auto other_losses() {
  using namespace xmoe::loss;
  return std::tuple(Entry{"agree", Agree<>{}},  //
                    Entry{"entropy", Entropy<>{}}, Entry{"group_margin", GroupMargin<>{}},
                    Entry{"imitate", Imitate<>{}}, Entry{"importance", Importance<>{}},
                    Entry{"locality", Locality{}}, Entry{"prior", Prior<>{}});
}

}  // namespace conformance
