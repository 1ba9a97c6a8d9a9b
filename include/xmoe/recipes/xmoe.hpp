// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/threshold.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// XMoE, the language model: small experts, a probability threshold, capacity by rank and
/// probability.
///
///   y_t = sum of p_te FFN_e(x_t) over the shortest prefix of the experts whose mass reaches t
///
///   published     64 experts of 384 for D = 768 (split 8 of 8 x 3072), t 0.9, gamma 8 in training
///                 and evaluation, C_min 4, GELU tanh, both biases, copied start with deviation
///                 0.014 and 0.014 / sqrt(2 * 12), router U(+-1/sqrt D), balance loss 0.01
///   not covered   multi-view gate (one view in the runs), expert parallelism (unused there)
///   verified      golden cases of gate, capacity, combine and gradients, made with the authors'
///                 code: ysngki/XMoE at 917d944, MoE-Megatron-DeepSpeed/megatron/model
template <class Traits = Cpu<float>>
using XMoE = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold, weigh::Raw>,
                      expert::Ffn<activation::Gelu>, dispatch::Capacity, Traits>;

namespace xmoe_language_model {
inline constexpr Citation citation{
    "XMoE", "XMoE: Sparse Models with Fine-grained and Adaptive Expert Selection", "2403.18926",
    "authors' code (ysngki/XMoE at 917d944)", "multi-view gate, expert parallelism"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

/// As published, for any split s of a coarse layer of `experts` x `expert_dim` (8 x 3072).
template <class Traits = Cpu<float>>
Published<XMoE<Traits>> defaults(index split = 8) {
  Published<XMoE<Traits>> p{{768, 8 * split, 3072 / split}, {}, 0.01f};
  p.config.router.select.threshold = 0.9f;
  p.config.dispatch.factor = static_cast<double>(split);
  p.config.dispatch.minimum = 4;
  p.config.expert.init = {expert::Init::Shape::normal, true, 0.014f, 0.0028577380f};
  return p;
}
}  // namespace xmoe_language_model

/// XMoE, the translation model: the same with ReLU and the framework's uniform start.
///
///   published     encoder blocks 2, 4, 6 of Transformer-base: D = 512, split s of 32 x 2048 with
///                 gamma s, t 0.9, C_min 4, balance loss 0.01
///   verified      ysngki/XMoE at 917d944, fairseq/fairseq/modules/mlp_gating.py
template <class Traits = Cpu<float>>
using XMoETranslation =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold, weigh::Raw>,
             expert::Ffn<activation::Relu>, dispatch::Capacity, Traits>;

namespace xmoe_translation {
inline constexpr Citation citation = xmoe_language_model::citation;
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<XMoETranslation<Traits>> defaults(index split = 4) {
  Published<XMoETranslation<Traits>> p{{512, 32 * split, 2048 / split}, {}, 0.01f};
  p.config.router.select.threshold = 0.9f;
  p.config.dispatch.factor = static_cast<double>(split);
  p.config.dispatch.minimum = 4;
  p.config.expert.init.shape = expert::Init::Shape::uniform_fan_in;
  p.config.expert.init.copied = true;
  return p;
}
}  // namespace xmoe_translation

}  // namespace xmoe::inline XMOE_ABI::recipes
