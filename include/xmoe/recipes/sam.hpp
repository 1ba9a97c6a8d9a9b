// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/group_margin.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// SAM (switch and mixture): one group of experts a token, several experts inside.
///
///   p = softmax(z), the group with the largest sum of p, its k best experts, w = p
///
///   published     a group = the experts of one device; weights not renormalised; balance loss,
///                 and a margin by which experts outside of the group should stay behind the last
///                 one chosen
///   ours          sizes (D 1024, 8 groups of 8 experts of 4096, k 2), coefficients, C_min 1; give
///                 the margin the selector's groups: Margin{.groups = 8}
///   not covered   nothing of the layer
///   verified      formula only; Hsword/Hetu at a1cb1bc, python/hetu/layers/SAMGate.py was read
///                 (equal groups: the lower one here, the last one there)
template <class Traits = Cpu<float>>
using Sam =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Grouped<select::TopK>, weigh::Raw>,
             expert::Ffn<activation::Relu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace sam {
inline constexpr Citation citation{"SAM",
                                   "Towards More Effective and Economic Sparsely-Activated Model",
                                   "2110.07431", "formula only; Hsword/Hetu was read", ""};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Margin = loss::GroupMargin<>;
using Losses = std::tuple<Balance, Margin>;

template <class Traits = Cpu<float>>
Published<Sam<Traits>> defaults() {
  Published<Sam<Traits>> p{{1024, 64, 4096}, {}, 0.01f};
  p.config.router.select.groups = 8;
  p.config.router.select.limit = 1;
  p.config.router.select.best_keys = 0;
  p.config.router.select.inner.k = 2;
  p.config.dispatch.factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace sam

}  // namespace xmoe::inline XMOE_ABI::recipes
