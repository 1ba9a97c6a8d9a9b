// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/dispatch/dropless.hpp>
#include <xmoe/expert/glu.hpp>
#include <xmoe/recipes/recipe.hpp>
#include <xmoe/router/gate/linear.hpp>
#include <xmoe/router/router.hpp>
#include <xmoe/router/score/identity.hpp>
#include <xmoe/router/select/top_k.hpp>
#include <xmoe/router/weigh/softmax_picked.hpp>
#include <xmoe/training/loss/load_balance.hpp>

namespace xmoe::inline XMOE_ABI::recipes {

/// gpt-oss: the four largest logits of a router with a bias, softmax over them; experts with
/// biases.
///
///   w_t = softmax over the 4 largest of z_t = W x_t + b
///
///   published     gpt-oss-120b: D 2880, 128 experts of 2880, k 4, rows of gate and up interleaved,
///                 balance loss 0.9 in the configuration
///   ours          balance loss over all ranks per layer (the public code concatenates the layers'
///                 tokens first), independent start
///   not covered   the experts' own activation, (min(u, 7) + 1) g sigmoid(1.702 g) with clamped g:
///                 here SwiGLU
///   verified      formula only; huggingface/transformers, models/gpt_oss was read
template <class Traits = Cpu<float>>
using GptOss = MoeLayer<Router<gate::Linear, score::Identity, select::TopK, weigh::SoftmaxPicked>,
                        expert::Glu<activation::Silu, expert::layout::Interleaved>,
                        dispatch::Dropless, Traits>;

namespace gpt_oss {
inline constexpr Citation citation{"gpt-oss", "gpt-oss-120b & gpt-oss-20b Model Card", "2508.10925",
                                   "formula only; huggingface/transformers was read",
                                   "the clamped activation of the experts"};
using Balance = loss::LoadBalance<loss::counting::AllPerToken, loss::over::SoftmaxOfLogits>;
using Losses = std::tuple<Balance>;

template <class Traits = Cpu<float>>
Published<GptOss<Traits>> defaults() {
  Published<GptOss<Traits>> p{{2880, 128, 2880}, {}, 0.9f};
  p.config.router.gate.bias = true;
  p.config.router.select.k = 4;
  p.config.expert.bias = true;
  p.config.expert.init.copied = false;
  return p;
}
}  // namespace gpt_oss

}  // namespace xmoe::inline XMOE_ABI::recipes
