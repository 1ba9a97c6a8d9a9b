// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/cosine.hpp>
#include <xmoe/router/gate/projected.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// X-MoE, against representation collapse: experts are directions in a narrow space.
///
///   q = W x (16 wide), z_e = <q, k_e> / |k_e|, p = softmax(z), one expert, w = p
///
///   published     the public code's form: 16 wide, no bias, q not normalised, temperature 1;
///                 balance loss 0.01 on first choices
///   ours          sizes (D 768, 32 experts of 3072), top-1 (top-2 as GShard is published too),
///                 the start of the keys. The paper's cosine: gate.inner.normalize_query and
///                 learn_scale
///   not covered   keys are reset to length 1.5 before each use (it changes their step size alone)
///   verified      formula only; microsoft/torchscale at 4d1e0e8, component/xmoe/routing.py was
///                 read
template <class Traits = Cpu<float>>
using XMoECosine =
    MoeLayer<Router<gate::Projected<gate::Cosine>, score::Softmax, select::TopOne, weigh::Raw>,
             expert::Ffn<activation::Gelu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace x_moe_cosine {
inline constexpr Citation citation{
    "X-MoE", "On the Representation Collapse of Sparse Mixture of Experts", "2204.09179",
    "formula only; microsoft/torchscale was read", "the reset length of stored keys"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<XMoECosine<Traits>> defaults() {
  Published<XMoECosine<Traits>> p{{768, 32, 3072}, {}, 0.01f};
  p.config.router.gate.dim = 16;
  p.config.router.gate.inner.normalize_query = false;
  p.config.dispatch.factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace x_moe_cosine

}  // namespace xmoe::inline XMOE_ABI::recipes
