// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "settings.hpp"

namespace lm {

// The three MoE layers, as types and numbers. This is all in which the models differ.

/// Switch: each token goes to the one expert that it finds most probable, as long as there is room.
template <class S>
struct Coarse {
  using Layer =
      xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::TopK>,
                     xmoe::expert::Ffn<xmoe::activation::Gelu>,
                     xmoe::dispatch::CapacityBy<xmoe::priority::Probability>, xmoe::Cpu<S>>;

  static typename Layer::Config config(const Settings& s) {
    return {.router = {.gate = {}, .score = {}, .select = {.k = 1}, .weigh = {}},
            .expert = {.init = init(s, /*copied=*/false)},
            .dispatch = {.factor = s.capacity}};
  }
  static xmoe::Sizes sizes(const Settings& s) {
    return {.model_dim = s.dim, .experts = s.experts, .expert_dim = s.expert_dim};
  }
  static void choose(typename Layer::Config& config, double k) {
    config.router.select.k = static_cast<index>(k);
  }
  /// The last weights of a branch are smaller, so that the stream does not grow with the depth.
  static xmoe::expert::Init init(const Settings& s, bool copied) {
    const double last = 0.05 / std::sqrt(2.0 * static_cast<double>(s.blocks));
    return {.copied = copied, .deviation_in = 0.05f, .deviation_out = static_cast<float>(last)};
  }
};

/// XMoE: `split` times as many experts, a `split`-th as wide; each token takes the most probable
/// ones until their probabilities add up to the threshold.
template <class S>
struct Fine {
  using Layer = xmoe::MoeLayer<
      xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::Threshold>,
      xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Capacity, xmoe::Cpu<S>>;

  static typename Layer::Config config(const Settings& s) {
    return {.router = {.gate = {.init_scale = 2.0f},
                       .score = {},
                       .select = {.threshold = static_cast<float>(s.threshold)},
                       .weigh = {}},
            .expert = {.init = Coarse<S>::init(s, /*copied=*/true)},
            .dispatch = {.factor = static_cast<double>(s.split)}};
  }
  static xmoe::Sizes sizes(const Settings& s) {
    return {
        .model_dim = s.dim, .experts = s.experts * s.split, .expert_dim = s.expert_dim / s.split};
  }
  static void choose(typename Layer::Config& config, double threshold) {
    config.router.select.threshold = static_cast<float>(threshold);
  }
};

/// The control: the experts of Fine, but a fixed number of them for every token.
template <class S>
struct Control {
  using Layer =
      xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::TopK>,
                     xmoe::expert::Ffn<xmoe::activation::Gelu>, xmoe::dispatch::Capacity,
                     xmoe::Cpu<S>>;

  static typename Layer::Config config(const Settings& s) {
    return {.router = {.gate = {.init_scale = 2.0f},
                       .score = {},
                       .select = {.k = s.top_k},
                       .weigh = {}},
            .expert = Fine<S>::config(s).expert,
            .dispatch = Fine<S>::config(s).dispatch};
  }
  static xmoe::Sizes sizes(const Settings& s) { return Fine<S>::sizes(s); }
  static void choose(typename Layer::Config& config, double k) {
    config.router.select.k = static_cast<index>(k);
  }
};

}  // namespace lm
