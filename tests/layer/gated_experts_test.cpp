// SPDX-License-Identifier: Apache-2.0
// Gated experts in a whole layer against the oracle, in double; both orders of their rows.
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Activation;
using tests::index;

template <class Act, class Layout>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>, expert::Glu<Act, Layout>,
                       dispatch::Dropless, Cpu<double>>;

tests::Case gated_case(Activation kind, bool biases, index dim, index hidden) {
  tests::CaseOptions o;
  o.shape = {19, 4, dim, hidden};
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  o.activation = kind;
  o.gated = true;
  o.biases = biases;
  return tests::random_case(static_cast<std::uint64_t>(dim + 1000 * hidden), o);
}

/// Rows gate 0, up 0, gate 1, up 1, ... of a stack with all gate rows first.
reference::Stack interleaved(const reference::Stack& stack) {
  reference::Stack result = stack;
  const index half = stack.rows / 2;
  for (index e = 0; e < stack.count; ++e) {
    for (index h = 0; h < half; ++h) {
      for (index j = 0; j < stack.cols; ++j) {
        result(e, 2 * h, j) = stack(e, h, j);
        result(e, 2 * h + 1, j) = stack(e, half + h, j);
      }
    }
  }
  return result;
}

TEST_CASE("gated experts", "[layer][oracle]") {
  using Silu = Layer<activation::Silu, expert::layout::Concatenated>;
  using Gelu = Layer<activation::Gelu, expert::layout::Concatenated>;
  tests::check_layer<Silu>(gated_case(Activation::silu, false, 20, 35));
  tests::check_layer<Silu>(gated_case(Activation::silu, true, 16, 16));
  tests::check_layer<Gelu>(gated_case(Activation::gelu_tanh, true, 8, 17));
}

TEST_CASE("interleaved rows give the same layer bit for bit", "[layer]") {
  using Plain = Layer<activation::Silu, expert::layout::Concatenated>;
  using Mixed = Layer<activation::Silu, expert::layout::Interleaved>;
  const tests::Case c = gated_case(Activation::silu, true, 12, 21);
  tests::Case mixed = c;
  mixed.setup.experts.up = interleaved(c.setup.experts.up);
  mixed.setup.experts.up_bias = interleaved(c.setup.experts.up_bias);
  Plain plain_layer = tests::make_layer<Plain>(c.setup);
  Mixed mixed_layer = tests::make_layer<Mixed>(mixed.setup);
  const auto plain = tests::layer_results(plain_layer, c);
  const auto other = tests::layer_results(mixed_layer, mixed);
  REQUIRE(plain.size() == other.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    INFO(plain[i].name);
    if (plain[i].name == "expert.gate_up.weight" || plain[i].name == "expert.gate_up.bias") {
      const bool is_bias = plain[i].name == "expert.gate_up.bias";
      reference::Stack stack(4, 42, is_bias ? 1 : 12);
      stack.values = plain[i].values;
      CHECK(interleaved(stack).values == other[i].values);
    } else {
      CHECK(plain[i].values == other[i].values);
    }
  }
}

}  // namespace
