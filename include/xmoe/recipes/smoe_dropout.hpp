// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// SMoE-Dropout: a random router that never learns, and more experts a token as training goes on.
///
///   z = W x + b with W, b as they started, k largest, w = softmax over them
///
///   published     router with bias, not trained; k from k_min to k_max in a straight line over
///                 the steps; inference with any k up to k_max; no balance loss
///   ours          sizes (D 512, 16 experts of 512), k_min 2, GELU; the bias starts at 0
///   not covered   the schedule (set config().router.select.k between steps) and the frozen router
///                 (leave "router.gate.*" out of the optimizer)
///   verified      formula only; VITA-Group/Random-MoE-as-Dropout at 0272cea, custom_gate.py was
///                 read
template <class Traits = Cpu<float>>
using SmoeDropout =
    MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
             expert::Ffn<activation::Gelu>, dispatch::Dropless, Traits>;

namespace smoe_dropout {
inline constexpr Citation citation{
    "SMoE-Dropout", "Sparse MoE as the New Dropout: Scaling Dense and Self-Slimmable Transformers",
    "2303.01610", "formula only; VITA-Group/Random-MoE-as-Dropout was read",
    "the schedule of k; the optimizer has to leave the router out"};
using Losses = std::tuple<>;  // the router does not learn

template <class Traits = Cpu<float>>
Published<SmoeDropout<Traits>> defaults() {
  Published<SmoeDropout<Traits>> p{{512, 16, 512}, {}, 0.f};
  p.config.router.gate.bias = true;
  p.config.router.select.k = 2;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace smoe_dropout

}  // namespace xmoe::inline XMOE_ABI::recipes
