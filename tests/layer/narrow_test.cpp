// SPDX-License-Identifier: Apache-2.0
// Layers with weights of 16 bits against the oracle on the rounded weights: half as close as float,
// bfloat16 as close as rounded activations allow, and exact where nothing is rounded.
#include "layer/narrow_case.hpp"
#include "support/catch.hpp"

namespace {

using namespace xmoe;
using tests::index;

TEMPLATE_TEST_CASE("narrow layer equals the oracle: two layers, threshold",
                   "[layer][oracle][narrow]", bfloat16, half) {
  tests::check_sizes<TestType, tests::NarrowFfn<TestType>>(false, false);
}
TEMPLATE_TEST_CASE("narrow layer equals the oracle: two layers, top-k, capacity",
                   "[layer][oracle][narrow]", bfloat16, half) {
  tests::check_sizes<TestType, tests::NarrowFfnLimited<TestType>>(false, true);
}

/// Whole numbers small enough for 8 bits all the way: nothing is rounded anywhere.
tests::Case whole_numbers(std::uint64_t seed, index dim, index hidden) {
  tests::CaseOptions o;
  o.shape = {21, 5, dim, hidden};
  o.router.score = reference::Score::identity;
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  tests::Case c = tests::random_case(seed, o);
  tests::Generator random(seed);
  reference::Experts& e = c.setup.experts;
  for (reference::Vector* values : {&c.x.values, &c.dy.values, &e.up.values, &e.up_bias.values,
                                    &e.down.values, &e.down_bias.values}) {
    for (double& v : *values) {
      v = static_cast<double>(random.below(3) - 1);
    }
  }
  reference::Matrix& gate = c.setup.router.weight;
  std::fill(gate.values.begin(), gate.values.end(), 0.0);
  for (index out = 0; out < gate.rows; ++out) {  // weights, the scores themselves, from -2 to 2
    gate(out, random.below(dim)) = 1.0;
    gate(out, random.below(dim)) = -1.0;
  }
  return c;
}

TEMPLATE_TEST_CASE("narrow layer: whole numbers come out exactly", "[layer][oracle][narrow]",
                   bfloat16, half) {
  using Layer = MoeLayer<Router<gate::Linear, score::Identity, select::TopK>,
                         expert::Ffn<activation::Relu>, dispatch::Dropless, Cpu<float, TestType>>;
  std::uint64_t seed = 50;
  for (const auto& [dim, hidden] :
       std::vector<std::pair<index, index>>{{1, 1}, {2, 33}, {31, 32}, {33, 65}, {45, 130}}) {
    const tests::Case c = whole_numbers(++seed, dim, hidden);
    const Layer layer = tests::make_narrow<Layer>(c.setup);
    const auto got = tests::narrow_results(layer, c);
    const auto want = tests::reference_results(c.setup, c.x, &c.dy);
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO("D " << dim << ", H " << hidden << ", " << want[i].name);
      REQUIRE(got[i].name == want[i].name);
      CHECK(got[i].values == want[i].values);
    }
    CHECK(tests::magnitude(want[0].values) > 0.0);
    tests::Case twin = c;  // the last column of the last expert with a row
    const reference::Forward f = reference::forward(c.setup, c.x);
    const index used = f.chosen[0][0].expert;
    twin.setup.experts.down(used, dim - 1, hidden - 1) += 1.0;
    twin.setup.experts.up_bias(used, hidden - 1, 0) += 40.0;
    CHECK(tests::reference_results(twin.setup, c.x, &c.dy)[0].values != got[0].values);
  }
}

TEST_CASE("narrow layer: bfloat16 rounds the activations, half does not", "[layer][narrow]") {
  tests::Case c = tests::random_case(9, tests::narrow_options({30, 4, 64, 65}, false, false));
  c.setup = tests::rounded<bfloat16>(c.setup);  // most of these numbers are half's too
  c.setup = tests::rounded<half>(c.setup);
  const auto worst = [&](const auto& layer) {
    const reference::Setup setup = tests::with_choice_of(layer, c.setup, c.x);
    const auto want = tests::reference_results(setup, c.x, nullptr);
    const auto got = tests::narrow_results(layer, c);
    return tests::relative_error(got[0].values, want[0].values);
  };
  const double rough = worst(tests::make_narrow<tests::NarrowFfn<bfloat16>>(c.setup));
  const double fine = worst(tests::make_narrow<tests::NarrowFfn<half>>(c.setup));
  CHECK(rough > 0x1p-12);
  CHECK(rough < 0x1p-5);
  CHECK(fine < 0x1p-17);
}

TEMPLATE_TEST_CASE("narrow layer: starts as the rounded float layer", "[layer][narrow]", bfloat16,
                   half) {
  using W = TestType;
  const Sizes sizes{.model_dim = 33, .experts = 3, .expert_dim = 40};
  tests::NarrowFfn<W> narrow(sizes);
  tests::NarrowFfn<float> wide(sizes);
  narrow.initialize(Random(1));
  wide.initialize(Random(1));
  const Parameters a = narrow.parameters(), b = wide.parameters();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::vector<float> from(static_cast<std::size_t>(a[i].size())), to(from.size());
    b[i].as<float>().store(from);
    std::visit(
        [&](auto* t) {
          if constexpr (requires { t->store(to); }) {
            t->store(to);
          }
        },
        a[i].tensor);
    if (std::holds_alternative<Panels<W>*>(a[i].tensor)) {
      CHECK(from != to);
      for (float& v : from) {
        v = static_cast<float>(W(v));
      }
    }
    INFO(a[i].name);
    CHECK(from == to);
  }
}

}  // namespace
