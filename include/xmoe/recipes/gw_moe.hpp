// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/broadcast.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// GW-MoE: while fine-tuning, tokens about which the router is not sure go to every expert.
///
///   all experts if H(p_t) >= h, else the largest; w_te = p_te, p_t = softmax(W x_t)
///
///   published     fine-tuning of a Switch Transformer, inference as before
///   ours          h 2.0, sizes of Switch (D 768, 8 experts of 3072), nothing dropped, balance loss
///                 0.01
///   not covered   the limit of such tokens a sequence
///   verified      formula only; WaitHZ/GW-MoE at 71e1e7b was read for the trigger (its sum of
///                 outputs has a bug)
template <class Traits = Cpu<float>>
using GwMoe =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Broadcast<select::TopOne>, weigh::Raw>,
             expert::Ffn<activation::Relu>, dispatch::Dropless, Traits>;

namespace gw_moe {
inline constexpr Citation citation{
    "GW-MoE", "GW-MoE: Resolving Uncertainty in MoE Router with Global Workspace Theory",
    "2406.12375", "formula only; WaitHZ/GW-MoE was read", "the limit of such tokens a sequence"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<GwMoe<Traits>> defaults() {
  Published<GwMoe<Traits>> p{{768, 8, 3072}, {}, 0.01f};
  p.config.router.select.entropy = 2.f;
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace gw_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
