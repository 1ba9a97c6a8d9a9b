// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/relu.hpp>
#include <xmoe/router/select/level.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/l1.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// ReMoE: a ReLU in place of softmax and top-k; what is above 0 runs.
///
///   w_te = max(z_te, 0)
///
///   published     an L1 term weighted by load, coefficient from 1e-8 on, steered to a target of
///                 active experts
///   ours          D 768, 8 experts of 3072, target of one expert a token in the loss, independent
///                 start
///   not covered   the servo of the coefficient (times 1.2 while too many experts are active,
///                 divided by it else)
///   verified      formula only; the baseline in thunlp/BlockFFN at 6905545,
///                 baseline/cpm/dragonfly/moe_gates.py was read
template <class Traits = Cpu<float>>
using ReMoe = MoeLayer<Router<gate::Linear, score::Relu, select::Level, weigh::Raw>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace remoe {
inline constexpr Citation citation{
    "ReMoE", "ReMoE: Fully Differentiable Mixture-of-Experts with ReLU Routing", "2412.14711",
    "formula only; thunlp/BlockFFN (a baseline) was read", "the servo of the coefficient"};
using Losses = std::tuple<loss::L1>;

template <class Traits = Cpu<float>>
Published<ReMoe<Traits>> defaults() {
  Published<ReMoe<Traits>> p{{768, 8, 3072}, {}, 1e-8f};
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace remoe

}  // namespace xmoe::inline XMOE_ABI::recipes
