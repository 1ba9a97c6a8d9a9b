// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// NLLB-MoE: GShard's router at the sizes of the translation model; ReLU experts with biases.
///
///   w_te = p_te / (p_1 + p_2) on the 2 largest of p_t = softmax(W x_t)
///
///   published     NLLB-200 54B: D 2048, 128 experts of 8192, k 2, C = 2 ceil(T/E), balance loss
///                 0.01 on first choices
///   ours          C = ceil(2 T / E), the same capacity in evaluation, weights normalised before
///                 capacity, independent start
///   not covered   the second expert by Gumbel draw, capacity as a share of T in evaluation,
///                 masking of expert outputs
///   verified      formula only; huggingface/transformers, models/nllb_moe was read
template <class Traits = Cpu<float>>
using NllbMoe =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
             expert::Ffn<activation::Relu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace nllb_moe {
inline constexpr Citation citation{
    "NLLB-MoE", "No Language Left Behind: Scaling Human-Centered Machine Translation", "2207.04672",
    "formula only; huggingface/transformers was read",
    "the drawn second expert, masking of expert outputs"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<NllbMoe<Traits>> defaults() {
  Published<NllbMoe<Traits>> p{{2048, 128, 8192}, {}, 0.01f};
  p.config.router.select.k = 2;
  p.config.dispatch.factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace nllb_moe

}  // namespace xmoe::inline XMOE_ABI::recipes
