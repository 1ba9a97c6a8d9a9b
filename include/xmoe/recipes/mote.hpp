// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/adjust/mask.hpp>
#include <xmoe/router/gate/adjusted.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/sigmoid.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/forced.hpp>
#include <xmoe/router/select/grouped.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/normalized.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// MoTE: a trained layer some of whose experts are suppressed or forced at inference.
///
///   s = sigmoid(z), order s + b; suppressed experts have z = -Inf, forced ones the order +Inf; k
///   best in the best groups, w = 2.5 s / sum of the chosen s
///
///   published     DeepSeek-R1 (D 7168, 256 experts of 2048, k 8, 4 of 8 groups, scale 2.5)
///   ours          a suppressed expert leaves the competition, and the next one takes its place;
///                 nothing is suppressed or forced by default: point gate.adjust.allowed [1,E] and
///                 select.experts [E] to the plan
///   not covered   gains (a factor an expert), finding the experts, the shared expert
///   verified      formula only; the control rule after published notes
template <class Traits = Cpu<float>>
using MoTE = MoeLayer<
    Router<gate::Adjusted<gate::Linear, adjust::Mask>, score::Sigmoid,
           select::Forced<select::Biased<select::Grouped<select::TopK>>>, weigh::Normalized>,
    expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace mote {
inline constexpr Citation citation{
    "MoTE", "Mixture of Tunable Experts - Behavior Modification of DeepSeek-R1 at Inference Time",
    "2502.11096", "formula only, after published notes",
    "gains, finding the experts, the shared expert"};
using Losses = std::tuple<>;  // a matter of inference

template <class Traits = Cpu<float>>
Published<MoTE<Traits>> defaults() {
  Published<MoTE<Traits>> p{{7168, 256, 2048}, {}, 0.f};
  auto& groups = p.config.router.select.inner.inner;
  groups.groups = 8;
  groups.limit = 4;
  groups.best_keys = 2;
  groups.inner.k = 8;
  p.config.router.weigh.scale = 2.5f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace mote

}  // namespace xmoe::inline XMOE_ABI::recipes
