// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Switch with another rule for full experts: the more probable tokens stay, not the earlier ones.
///
///   w_te = p_te on the largest of p_t = softmax(W x_t)
///
///   published     capacity factor 1.25 in training and 2.0 in evaluation, balance loss 0.01 on
///                 first choices
///   ours          sizes of Switch (D 768, 8 experts of 3072), C rounded up, C_min 1, no biases,
///                 independent start
///   not covered   groups of tokens
///   verified      formula only; tensorflow/mesh at da90793, transformer/moe.py
///                 (_switch_max_gating) was read
template <class Traits = Cpu<float>>
using SwitchMax =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne, weigh::Raw>,
             expert::Ffn<activation::Relu>, dispatch::CapacityBy<priority::Probability>, Traits>;

namespace switch_max {
inline constexpr Citation citation{
    "Switch, kept by probability", "Mesh TensorFlow, transformer/moe.py, _switch_max_gating",
    "tensorflow/mesh", "formula only; tensorflow/mesh was read", "groups of tokens"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<SwitchMax<Traits>> defaults() {
  Published<SwitchMax<Traits>> p{{768, 8, 3072}, {}, 0.01f};
  p.config.dispatch.factor = 1.25;
  p.config.dispatch.eval_factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace switch_max

}  // namespace xmoe::inline XMOE_ABI::recipes
