// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/capacity.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/top_one.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Switch Transformer: one expert a token, weight = its probability, earlier tokens first.
///
///   published     input jitter 1e-2 while training, capacity ceil(T/E * cf) with cf 1.25 in
///                 training and 2.0 in evaluation, balance loss 0.01 on first choices
///   ours          sizes (D 768, 8 experts of 3072: the coarse layer that XMoE is compared with),
///                 no biases, independent start, C_min 1
///   not covered   groups of 1024 tokens (call the layer on each), the dropped token's p_max * x of
///                 one port (a dropped token's y is 0, as in the original)
///   verified      formula only; tensorflow/mesh at da90793, transformer/moe.py was read
template <class Traits = Cpu<float>>
using Switch =
    MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne, weigh::Raw>,
             expert::Ffn<activation::Relu>, dispatch::CapacityBy<priority::RankThenToken>, Traits>;

namespace switch_transformer {
inline constexpr Citation citation{
    "Switch Transformer",
    "Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity",
    "2101.03961", "formula only", "groups of 1024 tokens"};
using Balance = loss::LoadBalance<loss::counting::FirstChoice>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<Switch<Traits>> defaults() {
  Published<Switch<Traits>> p{{768, 8, 3072}, {}, 0.01f};
  p.config.router.gate.jitter = 0.01f;
  p.config.dispatch.factor = 1.25;
  p.config.dispatch.eval_factor = 2.0;
  p.config.dispatch.minimum = 1;
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace switch_transformer

}  // namespace xmoe::inline XMOE_ABI::recipes
