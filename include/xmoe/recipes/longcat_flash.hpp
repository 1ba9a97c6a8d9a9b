// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/softmax.hpp>
#include <xmoe/router/select/biased.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// LongCat-Flash: softmax over all experts, ordered with a bias, the best k with their scaled
/// probabilities.
///
///   w_te = 6 p_te, p = softmax(W x), the 12 largest p + b
///
///   published     D 6144, 512 experts of 2048, k 12, routed_scaling_factor 6, SwiGLU without
///                 biases
///   ours          balance loss 1e-4 over all ranks, independent start
///   not covered   256 more experts that return x (the router here has 512 outputs), the step of
///                 the bias
///   verified      formula only; huggingface/transformers, models/longcat_flash was read
template <class Traits = Cpu<float>>
using LongCatFlash =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Biased<select::TopK>, weigh::Raw>,
             expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace longcat_flash {
inline constexpr Citation citation{"LongCat-Flash", "LongCat-Flash Technical Report", "2509.01322",
                                   "formula only; huggingface/transformers was read",
                                   "256 identity experts, the step of the bias"};
using Balance = loss::LoadBalance<loss::counting::AllPerClaim>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<LongCatFlash<Traits>> defaults() {
  Published<LongCatFlash<Traits>> p{{6144, 512, 2048}, {}, 1e-4f};
  p.config.router.select.inner.k = 12;
  p.config.router.weigh.scale = 6.f;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace longcat_flash

}  // namespace xmoe::inline XMOE_ABI::recipes
