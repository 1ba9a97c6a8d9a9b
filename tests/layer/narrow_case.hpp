// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/layer_case.hpp"
#include "support/policy_case.hpp"

// Layers whose experts hold weights of 16 bits, against the oracle on the same rounded weights.
namespace tests {

template <class Select, class Expert, class Dispatch, class W>
using NarrowLayer = xmoe::MoeLayer<xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, Select>,
                                   Expert, Dispatch, xmoe::Cpu<float, W>>;
template <class W>
using NarrowFfn = NarrowLayer<xmoe::select::Threshold, xmoe::expert::Ffn<xmoe::activation::Gelu>,
                              xmoe::dispatch::Dropless, W>;
template <class W>
using NarrowFfnLimited = NarrowLayer<xmoe::select::TopK, xmoe::expert::Ffn<xmoe::activation::Gelu>,
                                     xmoe::dispatch::Capacity, W>;
template <class W>
using NarrowGlu =
    NarrowLayer<xmoe::select::TopK,
                xmoe::expert::Glu<xmoe::activation::Silu, xmoe::expert::layout::Concatenated>,
                xmoe::dispatch::Dropless, W>;
template <class W>
using NarrowGluLimited =
    NarrowLayer<xmoe::select::Threshold,
                xmoe::expert::Glu<xmoe::activation::Silu, xmoe::expert::layout::Interleaved>,
                xmoe::dispatch::Capacity, W>;

/// Rows gate 0, up 0, gate 1, ... of numbers [count, 2H, cols] with all gate rows first, or back.
inline reference::Vector interleaved(const reference::Vector& from, index count, index rows,
                                     bool back) {
  const index cols = count * rows == 0 ? 0 : static_cast<index>(from.size()) / (count * rows);
  reference::Vector to(from.size());
  for (index i = 0; i < count * rows; ++i) {
    const index row = i % rows;
    const index other = i - row + (row < rows / 2 ? 2 * row : 2 * (row - rows / 2) + 1);
    for (index j = 0; j < cols; ++j) {
      const auto a = static_cast<std::size_t>(i * cols + j);
      const auto b = static_cast<std::size_t>(other * cols + j);
      (back ? to[a] : to[b]) = back ? from[b] : from[a];
    }
  }
  return to;
}
template <class Layer>
constexpr bool has_mixed_rows = requires(Layer layer) {
  requires std::same_as<
      decltype(layer.config().expert),
      xmoe::expert::Glu<xmoe::activation::Silu, xmoe::expert::layout::Interleaved>>;
};

/// The setup whose experts' matrices are rounded to W.
template <class W>
reference::Setup rounded(reference::Setup s) {
  for (reference::Stack* stack : {&s.experts.up, &s.experts.down}) {
    for (double& v : stack->values) {
      v = static_cast<double>(static_cast<float>(W(static_cast<float>(v))));
    }
  }
  return s;
}

template <class Layer>
Layer make_narrow(const reference::Setup& s, index threads = 2) {
  Layer layer(xmoe::Sizes{.model_dim = s.router.weight.cols,
                          .experts = s.experts_count(),
                          .expert_dim = s.experts.down.cols},
              config_of<Layer>(s), xmoe::cpu::Backend(threads));
  const auto up = [&](const reference::Stack& stack) {
    return has_mixed_rows<Layer> ? interleaved(stack.values, stack.count, stack.rows, false)
                                 : stack.values;
  };
  for (const xmoe::Parameter& p : layer.parameters()) {
    const reference::Experts& e = s.experts;
    const bool bias = p.name.ends_with(".bias");
    const reference::Vector from = p.name == "router.gate.weight" ? s.router.weight.values
                                   : p.name == "router.gate.bias" ? s.router.bias
                                   : p.name.starts_with("expert.down")
                                       ? (bias ? e.down_bias.values : e.down.values)
                                       : up(bias ? e.up_bias : e.up);
    std::visit(
        [&](auto* t) {
          if constexpr (requires { t->load(narrowed<float>(from)); }) {
            t->load(narrowed<float>(from));
          }
        },
        p.tensor);
  }
  return layer;
}

/// Forward and backward; rows of gate and up as the oracle has them.
template <class Layer>
std::vector<Tensor> narrow_results(const Layer& layer, const Case& c) {
  std::vector<Tensor> results = layer_results(layer, c);
  for (Tensor& t : results) {
    if (has_mixed_rows<Layer> && t.name.starts_with("expert.gate_up")) {
      const reference::Stack& up = c.setup.experts.up;
      t.values = interleaved(t.values, up.count, up.rows, true);
    }
  }
  return results;
}

/// What a layer may differ by, tensor by tensor. Float sums: as everywhere. bfloat16 rounds the
/// left sides of products to 8 bits on top, which moves a term by 2^-8 of itself at most, at
/// random, as if its weight were off by as much. So: 4 times the most that such weights move the
/// oracle in three draws, and 2^-8 for the roundings in the last product, which weights do not
/// reach.
template <class W>
std::vector<double> narrow_tolerances(const reference::Setup& s, const Case& c,
                                      const std::vector<Tensor>& want) {
  std::vector<double> allowed;
  for (const Tensor& t : want) {
    allowed.push_back(tolerance<float>(t.chain, magnitude(t.values)));
  }
  if (std::same_as<W, xmoe::bfloat16>) {
    std::vector<double> most(want.size(), 0.0);
    Generator random(77);
    for (int draw = 0; draw < 3; ++draw) {
      reference::Setup other = s;
      for (reference::Stack* stack : {&other.experts.up, &other.experts.down}) {
        for (double& v : stack->values) {
          v *= 1.0 + 0x1p-8 * (2.0 * random.uniform() - 1.0);
        }
      }
      const std::vector<Tensor> moved = reference_results(other, c.x, &c.dy);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const Difference d = difference(moved[i].values, want[i].values, 0.0);
        most[i] = std::max(most[i], std::abs(d.got - d.want));
      }
    }
    for (std::size_t i = 0; i < want.size(); ++i) {
      allowed[i] += 4.0 * most[i] + 0x1p-8 * magnitude(want[i].values);
    }
  }
  return allowed;
}

/// A whole layer against the oracle. Wrong setups must fail in every tensor that they change; only
/// one dropped assignment may hide in a gradient behind bfloat16's roundings, but not in y.
template <class W, class Layer>
void check_narrow(Case c) {
  c.setup = rounded<W>(c.setup);
  const Layer layer = make_narrow<Layer>(c.setup);
  const reference::Setup setup = with_choice_of(layer, c.setup, c.x);
  const std::vector<Tensor> got = narrow_results(layer, c);
  const std::vector<Tensor> want = reference_results(setup, c.x, &c.dy);
  const std::vector<double> allowed = narrow_tolerances<W>(setup, c, want);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    REQUIRE(got[i].name == want[i].name);
    const Difference d = difference(got[i].values, want[i].values, allowed[i]);
    INFO(want[i].name << ": worst at " << d.place << ": " << d.got << ", wanted " << d.want
                      << ", allowed " << allowed[i]);
    CHECK(d.close);
  }
  for (const Mutation& wrong : mutations(setup, reference::forward(setup, c.x))) {
    const std::vector<Tensor> other = reference_results(wrong.setup, c.x, &c.dy);
    const bool small = std::same_as<W, xmoe::bfloat16> && wrong.name == "one assignment dropped";
    for (std::size_t i = 0; i < (small ? 1 : want.size()); ++i) {
      INFO("mutation twin '" << wrong.name << "' passes as " << want[i].name);
      CHECK((other[i].values == want[i].values ||
             !difference(got[i].values, other[i].values, allowed[i]).close));
    }
  }
}

inline CaseOptions narrow_options(const Shape& n, bool gated, bool limited) {
  CaseOptions o;
  o.shape = n;
  o.gated = gated;
  o.activation = gated ? reference::Activation::silu : reference::Activation::gelu_tanh;
  o.biases = true;
  o.router.select = gated == limited ? reference::Select::threshold : reference::Select::top_k;
  o.router.threshold = 0.8;
  o.router.k = std::min<index>(2, n.experts);
  if (limited) {
    o.capacity = {true, 1.0, 1, reference::Priority::rank_then_probability, {}};
  }
  return o;
}

/// Sizes on both sides of all borders.
template <class W, class Layer>
void check_sizes(bool gated, bool limited) {
  std::uint64_t seed = 1;
  for (const Shape& n : std::vector<Shape>{{0, 2, 3, 3},
                                           {1, 1, 1, 1},
                                           {1, 3, 2, 5},
                                           {7, 2, 31, 1},
                                           {16, 4, 32, 32},
                                           {17, 4, 33, 31},
                                           {33, 5, 64, 65},
                                           {40, 6, 17, 63},
                                           {25, 3, 130, 7},
                                           {20, 3, 2, 130}}) {
    INFO("seed " << seed << ": T " << n.tokens << ", E " << n.experts << ", D " << n.dim << ", H "
                 << n.hidden);
    check_narrow<W, Layer>(random_case(seed++, narrow_options(n, gated, limited)));
  }
}

}  // namespace tests
