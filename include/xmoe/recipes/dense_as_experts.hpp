// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/convert/dense_to_experts.hpp>
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/router/weigh/unit.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// A dense FFN laid out as E small experts, sparse at inference by a lower threshold.
///
///   Weigh         weigh::Unit: at t = 1 every part runs and the sum is the dense FFN, unless the
///                 router is so sure that the best parts' mass rounds to 1 (t > 1 runs all always);
///                 weigh::Raw: another function, to be trained in this form at t = 1
///   published     D 768, 8 parts of 384 (the dense width 3072), trained at t = 1, run at t < 1
///   ours          t 1 as the default; convert::dense_to_experts fills the parts
///   not covered   the threshold of the reported figures, which is not public
///   verified      identity with the dense FFN at t = 1 (test); section 7 of the paper unseen:
///                 after the abstract and the authors' options
template <class Traits = Cpu<float>, class Weigh = weigh::Unit>
using DenseAsExperts = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold, Weigh>,
                                expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace dense_as_experts {
inline constexpr Citation citation{
    "XMoE for dense models", "XMoE: Sparse Models with Fine-grained and Adaptive Expert Selection",
    "2403.18926", "after the abstract; identity with the dense layer at t = 1",
    "the threshold of the reported figures"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>, class Weigh = weigh::Unit>
Published<DenseAsExperts<Traits, Weigh>> defaults() {
  Published<DenseAsExperts<Traits, Weigh>> p{{768, 8, 384}, {}, 0.01f};
  p.config.router.select.threshold = 1.f;
  return p;
}
}  // namespace dense_as_experts

}  // namespace xmoe::inline XMOE_ABI::recipes
