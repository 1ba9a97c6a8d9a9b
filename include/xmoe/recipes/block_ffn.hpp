// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/ffn.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/relu_norm.hpp>
#include <xmoe/router/select/level.hpp>
#include <xmoe/router/weigh/raw.hpp>
#include <xmoe/training/loss/chunk_union.hpp>
#include <xmoe/training/loss/load_balance.hpp>
#include <xmoe/training/loss/locality.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// BlockFFN: experts switch themselves on by ReLU, weights are the row divided by its root mean
/// square.
///
///   w_te = r_te / sqrt(mean_e r_te^2 + 1e-6), r_t = max(W x_t, 0), for r_te > 0
///
///   published     no k; losses on the union of a chunk's experts, on the agreement of neighbours,
///                 on balance over all active pairs
///   ours          D 1024, 64 experts of 128, SiLU without a gate, coefficients, independent start
///   not covered   the learned gain of the norm (1 here), schedules of the coefficients
///   verified      formula only; thunlp/BlockFFN at 6905545, pretrain/cpm/dragonfly/blockffn.py was
///                 read
template <class Traits = Cpu<float>>
using BlockFfn = MoeLayer<Router<gate::Linear, score::ReluNorm, select::Level, weigh::Raw>,
                          expert::Ffn<activation::Silu>, dispatch::Dropless, Traits>;

namespace block_ffn {
inline constexpr Citation citation{"BlockFFN",
                                   "BlockFFN: Towards End-Side Acceleration-Friendly "
                                   "Mixture-of-Experts with Chunk-Level Activation Sparsity",
                                   "2507.08771", "formula only; thunlp/BlockFFN was read",
                                   "the learned gain of the norm"};
using Balance = loss::LoadBalance<loss::counting::AllPerClaim, loss::over::GuardedScores>;
using Losses = std::tuple<Balance, loss::ChunkUnion<>, loss::Locality>;

template <class Traits = Cpu<float>>
Published<BlockFfn<Traits>> defaults() {
  Published<BlockFfn<Traits>> p{{1024, 64, 128}, {}, 0.01f};
  p.config.expert.bias = false;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace block_ffn

}  // namespace xmoe::inline XMOE_ABI::recipes
