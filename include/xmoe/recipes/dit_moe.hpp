// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// DiT-MoE: experts in a diffusion transformer.
///
///   p = softmax(z), two best, w = p
///
///   published     8 experts, k 2, weights not renormalised, balance loss 0.01 over all ranks
///   ours          D 384, experts of 1536; time step and class reach the gate through x alone
///   not covered   the 2 shared experts (one dense layer beside this one); the balance loss by
///                 sequence (loss::SequenceBalance)
///   verified      formula only; feizc/DiT-MoE at bd34bbb, models.py was read
template <class Traits = Cpu<float>>
using DiTMoE = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Raw>,
                        expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace dit_moe {
inline constexpr Citation citation{
    "DiT-MoE", "Scaling Diffusion Transformers to 16 Billion Parameters", "2407.11633",
    "formula only; feizc/DiT-MoE was read", "the shared experts"};
using Balance = loss::LoadBalance<loss::counting::AllPerClaim>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<DiTMoE<Traits>> defaults() {
  Published<DiTMoE<Traits>> p{{384, 8, 1536}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dit_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
