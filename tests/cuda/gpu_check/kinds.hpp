// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/random_case.hpp"

#include <xmoe/cuda.cuh>

#include "findings.hpp"

// The layers that are checked, each with the oracle's description of it.
namespace gpu_check {

using tests::Case;
using tests::CaseOptions;
using tests::Shape;
using xmoe::index;

#if defined(__CUDACC__)
inline constexpr bool emulated = false;
#else
inline constexpr bool emulated = true;
#endif

/// Softmax, threshold, GELU experts with biases, a capacity.
struct Xmoe {
  static constexpr const char* name = "XMoE layer";
  template <class S>
  using Layer = xmoe::MoeLayer<
      xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, xmoe::select::Threshold>,
      xmoe::expert::Ffn<>, xmoe::dispatch::Capacity, xmoe::Cuda<S>>;

  static void describe(CaseOptions& o) {
    o.activation = reference::Activation::gelu_tanh;
    o.gate_bias = true;
    o.router.threshold = 0.7;
    o.capacity = {true, 1.2, 4, reference::Priority::rank_then_probability, {}};
  }
  /// All tokens choose one expert, which keeps them.
  static void draw_together(Case& c) {
    c.setup.router.bias[2] = 3.0;
    c.setup.router.threshold = 0.5;
    c.setup.capacity.limited = false;
  }
  template <class S>
  static typename Layer<S>::Config config(const reference::Setup& s) {
    typename Layer<S>::Config config;
    config.router.gate.bias = true;
    config.router.select.threshold = static_cast<float>(s.router.threshold);
    config.expert.bias = true;
    config.dispatch.limit =
        s.capacity.limited ? xmoe::dispatch::Limit::factor : xmoe::dispatch::Limit::none;
    config.dispatch.factor = s.capacity.factor;
    config.dispatch.minimum = s.capacity.minimum;
    return config;
  }
};

/// Softmax, top-2 with renormalised weights, SwiGLU experts, nobody dropped.
struct SwiGlu {
  static constexpr const char* name = "top-2 SwiGLU layer";
  template <class S>
  using Layer = xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax,
                                            xmoe::select::TopK, xmoe::weigh::Normalized>,
                               xmoe::expert::Glu<>, xmoe::dispatch::Dropless, xmoe::Cuda<S>>;

  static void describe(CaseOptions& o) {
    o.activation = reference::Activation::silu;
    o.gated = true;
    o.biases = false;
    o.gate_bias = true;
    o.router.select = reference::Select::top_k;
    o.router.k = 2;
    o.router.weigh = reference::Weigh::normalized;
  }
  static void draw_together(Case& c) { c.setup.router.bias[0] = c.setup.router.bias[2] = 3.0; }
  template <class S>
  static typename Layer<S>::Config config(const reference::Setup& s) {
    typename Layer<S>::Config config;
    config.router.gate.bias = true;
    config.router.select.k = s.router.k;
    config.expert.bias = false;
    return config;
  }
};

/// Sigmoid, top-2 behind a balancing bias, renormalised and scaled weights, GELU experts.
struct SigmoidBiased {
  static constexpr const char* name = "sigmoid, biased top-2 layer";
  template <class S>
  using Layer = xmoe::MoeLayer<
      xmoe::Router<xmoe::gate::Linear, xmoe::score::Sigmoid,
                   xmoe::select::Biased<xmoe::select::TopK>, xmoe::weigh::Normalized>,
      xmoe::expert::Ffn<>, xmoe::dispatch::Dropless, xmoe::Cuda<S>>;

  static void describe(CaseOptions& o) {
    o.activation = reference::Activation::gelu_tanh;
    o.router.score = reference::Score::sigmoid;
    o.router.select = reference::Select::top_k;
    o.router.k = 2;
    o.router.weigh = reference::Weigh::normalized;
    o.router.scale = 2.5;
  }
  static void draw_together(Case& c) {
    c.setup.router.selection_bias[0] = c.setup.router.selection_bias[2] = 2.0;
  }
  template <class S>
  static typename Layer<S>::Config config(const reference::Setup& s) {
    typename Layer<S>::Config config;
    config.router.select.inner.k = s.router.k;
    config.router.weigh.scale = static_cast<float>(s.router.scale);
    config.expert.bias = true;
    return config;
  }
};

/// float for narrow scalars.
template <class S>
double number(S x) {
  return static_cast<double>(static_cast<xmoe::sum_type<S>>(x));
}
template <class S>
Vector widened(const std::vector<S>& values) {
  Vector result;
  for (const S v : values) {
    result.push_back(number(v));
  }
  return result;
}
template <class S>
std::vector<S> rounded(const Vector& values) {
  std::vector<S> result;
  for (const double v : values) {
    result.push_back(static_cast<S>(static_cast<xmoe::sum_type<S>>(v)));
  }
  return result;
}

/// A case whose tokens and experts are numbers of S, so that layer and oracle begin alike. Without
/// `together` the gate's own weights decide who goes where.
template <class Kind, class S>
Case case_of(Shape shape, std::uint64_t seed, bool together = false) {
  CaseOptions o;
  o.shape = shape;
  o.logit_spread = together ? 0.3 : 1.0;
  Kind::describe(o);
  Case c = tests::random_case(seed, o);
  reference::Setup& s = c.setup;
  if (o.router.score == reference::Score::sigmoid) {
    s.router.selection_bias.resize(static_cast<std::size_t>(shape.experts));
    tests::Generator(seed + 1).fill(s.router.selection_bias, 0.2);
  }
  if (together) {
    Kind::draw_together(c);
  }
  for (Vector* values : {&c.x.values, &c.dy.values, &s.experts.up.values, &s.experts.up_bias.values,
                         &s.experts.down.values, &s.experts.down_bias.values}) {
    *values = widened(rounded<S>(*values));
  }
  return c;
}

/// The numbers of a setup for a tensor of that name.
inline const Vector& numbers_named(const reference::Setup& s, const std::string& name) {
  static const Vector none;
  const auto ends = [&](const char* end) {
    const std::string e = end;
    return name.size() >= e.size() && name.compare(name.size() - e.size(), e.size(), e) == 0;
  };
  return name == "router.gate.weight"   ? s.router.weight.values
         : name == "router.gate.bias"   ? s.router.bias
         : name == "router.select.bias" ? s.router.selection_bias
         : ends("down.weight")          ? s.experts.down.values
         : ends("down.bias")            ? s.experts.down_bias.values
         : ends("up.weight")            ? s.experts.up.values
         : ends("up.bias")              ? s.experts.up_bias.values
                                        : none;
}

}  // namespace gpu_check
