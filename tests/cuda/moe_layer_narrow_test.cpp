// SPDX-License-Identifier: Apache-2.0
// Layers of bfloat16, half and tf32 on the device against the float64 oracle.
#include "layer_case.hpp"

namespace tests {
namespace {

using namespace xmoe;

template <class S, class Math>
using Small = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>, expert::Ffn<>,
                       dispatch::Capacity, Cuda<S, Math>>;
template <class S, class Math>
using Gated = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK, weigh::Normalized>,
                       expert::Glu<>, dispatch::Dropless, Cuda<S, Math>>;

/// A case whose tokens and weights are numbers of S already, so that layer and oracle begin alike.
template <class S>
Case rounded_case(std::uint64_t seed, const CaseOptions& o) {
  Case c = random_case(seed, o);
  for (auto* values :
       {&c.x.values, &c.dy.values, &c.setup.experts.up.values, &c.setup.experts.up_bias.values,
        &c.setup.experts.down.values, &c.setup.experts.down_bias.values}) {
    *values = widened(rounded<S>(*values));
  }
  return c;
}

/// How far a stored number may be off: half a unit in the last place. tf32 has 11 bits.
template <class S>
double unit() {
  return std::is_same_v<S, float> ? 0x1p-11 : rounding<S>();
}

/// Layer and oracle with one choice. A number passes four roundings on its way (hidden, outputs,
/// their sum, its storage), gradients twice as many; errors of sums grow as their root.
template <class L>
void check_rounded(const Case& c) {
  using S = scalar_of<L>;
  const ThroughCopies<L> layer(c.setup);
  const auto f = reference::forward(c.setup, c.x);
  {  // routing is float: the choice is the oracle's, away from ties
    const auto routing = layer.route(In<S>(rounded<S>(c.x.values).data(), c.x.rows, c.x.cols));
    std::size_t chosen = 0;
    for (const auto& row : f.chosen) {
      for (const auto& claim : row) {
        REQUIRE(chosen < routing.expert().size());
        REQUIRE(routing.expert()[chosen] == claim.output);
        ++chosen;
      }
    }
    REQUIRE(chosen == routing.expert().size());
  }
  const std::vector<Tensor> got = layer.results(c);
  const std::vector<Tensor> want = reference_results(c.setup, c.x, &c.dy);
  REQUIRE(got.size() == want.size());
  const auto allowed = [&](const Tensor& t) { return 8.0 * unit<S>() * magnitude(t.values); };
  for (std::size_t i = 0; i < want.size(); ++i) {
    REQUIRE(got[i].name == want[i].name);
    const Difference d = difference(got[i].values, want[i].values, allowed(want[i]));
    INFO(want[i].name << ": worst at " << d.place << ": " << d.got << ", wanted " << d.want
                      << ", allowed " << allowed(want[i]));
    CHECK(d.close);
  }
  for (const Mutation& wrong : mutations(c.setup, f)) {
    const std::vector<Tensor> other = reference_results(wrong.setup, c.x, &c.dy);
    INFO("mutation twin '" << wrong.name << "' passes");
    bool told = false;
    for (std::size_t i = 0; i < want.size(); ++i) {
      told = told || !difference(got[i].values, other[i].values, allowed(want[i])).close;
    }
    CHECK(told);
  }
}

template <class S>
void check_kinds() {
  CaseOptions o;
  o.shape = GENERATE(Shape{33, 6, 40, 24}, Shape{70, 3, 65, 130}, Shape{9, 5, 24, 300});
  CAPTURE(o.shape.tokens, o.shape.dim, o.shape.hidden);
  o.activation = reference::Activation::gelu_tanh;
  o.router.threshold = 0.7;
  o.capacity = {true, 1.2, 4, reference::Priority::rank_then_probability, {}};
  check_rounded<Small<S, cuda::TensorCore>>(rounded_case<S>(5, o));
  o.capacity = {};
  o.gated = true;
  o.biases = false;
  o.activation = reference::Activation::silu;
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  o.router.weigh = reference::Weigh::normalized;
  check_rounded<Gated<S, cuda::TensorCore>>(rounded_case<S>(6, o));
}

TEST_CASE("device layer: bfloat16 agrees with the oracle", "[cuda][layer][oracle]") {
  check_kinds<bfloat16>();
}
TEST_CASE("device layer: half agrees with the oracle", "[cuda][layer][oracle]") {
  check_kinds<half>();
}
TEST_CASE("device layer: tf32 agrees with the oracle", "[cuda][layer][oracle]") {
  check_kinds<float>();
}

}  // namespace
}  // namespace tests
