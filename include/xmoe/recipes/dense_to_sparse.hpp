// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/adjust/gumbel_noise.hpp>
#include <xmoe/router/adjust/temper.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/level.hpp>
#include <xmoe/router/weigh/raw.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// Dense-to-sparse gate: a softmax that a falling temperature sharpens, until few experts are
/// left.
///
///   p = softmax((z + Gumbel) / tau), every expert with p > 0.001 and the best one, w = p
///
///   published     noise while training, level 0.001, weights not renormalised, no balance loss
///   ours          sizes (D 512, 16 experts of 2048), tau 1 to start from: set
///                 config().router.gate.adjust.temperature between steps
///   not covered   the proposed activation between the linear layer and the softmax; one number of
///                 experts for all tokens of a step, as in the code that was read
///   verified      after the abstract; the gate in VITA-Group/Random-MoE-as-Dropout at 0272cea was
///                 read
template <class Traits = Cpu<float>>
using DenseToSparse = MoeLayer<
    Router<gate::Adjusted<gate::Adjusted<gate::Linear, adjust::GumbelNoise>, adjust::Temper>,
           score::Softmax, select::Level, weigh::Raw>,
    expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace dense_to_sparse {
inline constexpr Citation citation{
    "Dense-to-sparse gate",
    "Is Temperature Sample Efficient for Softmax Gaussian Mixture of Experts?", "2401.13875",
    "after the abstract; VITA-Group/Random-MoE-as-Dropout was read",
    "the activation before the softmax, the schedule of the temperature"};
using Losses = std::tuple<>;

template <class Traits = Cpu<float>>
Published<DenseToSparse<Traits>> defaults() {
  Published<DenseToSparse<Traits>> p{{512, 16, 2048}, {}, 0.f};
  p.config.router.gate.inner.inner.bias = true;
  p.config.router.gate.adjust.temperature = 1.f;
  p.config.router.select.level = 0.001f;
  p.config.router.select.min_experts = 1;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace dense_to_sparse

}  // namespace xmoe::inline XMOE_ABI::recipes
