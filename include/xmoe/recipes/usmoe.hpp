// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/blend.hpp>
#include <xmoe/router/select/global.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// USMoE: tokens and experts compete together for k pairs a token on average.
///
///   s = (1 - r) softmax(z) + r (2 / E) sigmoid(z), the k S largest of a sequence's S x E, w = s
///
///   published     r 0.5; on trained models (OLMoE: D 2048, 64 experts of 1024, SwiGLU, k 8) or
///                 from scratch
///   ours          one sequence a call (select.sequence), balance loss 0.01 over all ranks on the
///                 softmax of the logits
///   not covered   division by the sum of the whole row, for models that renormalise
///   verified      formula only; giangdip2410/USMoE at 70d6447 was read
template <class Traits = Cpu<float>>
using USMoE = MoeLayer<Router<gate::Linear, score::Blend, select::Global, weigh::Raw>,
                       expert::Glu<activation::Silu>, dispatch::Dropless, Traits>;

namespace usmoe {
inline constexpr Citation citation{
    "USMoE", "Sparse Mixture of Experts as Unified Competitive Learning", "2503.22996",
    "formula only; giangdip2410/USMoE was read", "division by the sum of the whole row"};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<USMoE<Traits>> defaults() {
  Published<USMoE<Traits>> p{{2048, 64, 1024}, {}, 0.01f};
  p.config.router.score.share = 0.5f;
  p.config.router.select.k = 8;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace usmoe

}  // namespace xmoe::inline XMOE_ABI::recipes
