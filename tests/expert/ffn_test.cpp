// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/ffn.hpp>

#include "support/catch.hpp"
#include "support/expert_case.hpp"

namespace xmoe {
namespace {

using expert::Ffn;
using Traits = Cpu<double>;

TEST_CASE("ffn: one expert by hand", "[expert]") {
  tests::Generator random(1);
  tests::ExpertCase<double> c(random, 1, {2, 1, 2});
  const Ffn<activation::Relu> policy;
  auto own = policy.make_weights<Traits>(c.sizes);
  own.up.load(std::vector<double>{1, 2, 3, -4});
  own.up_bias.load(std::vector<double>{0.5, 1});
  own.down.load(std::vector<double>{1, 10, 100, 1000});
  own.down_bias.load(std::vector<double>{7, 8});
  c.x = {1, 2};  // before: 5.5, -4; hidden: 5.5, 0
  CHECK(tests::run_experts(policy, own, c).rows == std::vector<double>{12.5, 558});
  c.x = {2, 1};  // before: 4.5, 3
  CHECK(tests::run_experts(policy, own, c).rows == std::vector<double>{41.5, 3458});
  own.up_bias.zero();
  CHECK(tests::run_experts(policy, own, c).rows != std::vector<double>{41.5, 3458});
}

TEMPLATE_TEST_CASE("ffn: against the oracle", "[expert]", float, double) {
  using S = TestType;
  tests::Generator random(2);
  for (const bool bias : {true, false}) {
    for (const Sizes sizes : {Sizes{8, 3, 8}, Sizes{1, 2, 1}, Sizes{33, 4, 17}, Sizes{7, 1, 40}}) {
      const tests::ExpertCase<S> c(random, 17, sizes);
      const Ffn<activation::Gelu> policy{.bias = bias};
      auto own = policy.template make_weights<Cpu<S>>(sizes);
      tests::randomize<S>(own, random, 0.5);
      const auto experts =
          tests::oracle_experts<S>(own, reference::Activation::gelu_tanh, false, sizes);
      const reference::Vector want = tests::oracle_rows(experts, c);
      const reference::Vector got = tests::wide(tests::run_experts(policy, own, c).rows);
      const index chain = sizes.model_dim + sizes.expert_dim + 2;
      INFO(sizes.model_dim << " x " << sizes.expert_dim << ", bias " << bias);
      tests::check_close<S>("rows", got, want, chain);
      auto swapped = experts;  // twins: another activation, two experts swapped
      swapped.activation = reference::Activation::relu;
      const double allowed = tests::tolerance<S>(chain, tests::magnitude(want));
      CHECK_FALSE(tests::difference(tests::oracle_rows(swapped, c), want, allowed).close);
      if (sizes.experts > 1) {
        swapped = experts;
        const index n = sizes.model_dim * sizes.expert_dim;
        std::swap_ranges(swapped.down.values.begin(), swapped.down.values.begin() + n,
                         swapped.down.values.begin() + n);
        CHECK_FALSE(tests::difference(tests::oracle_rows(swapped, c), want, allowed).close);
      }
    }
  }
}

TEST_CASE("ffn: what is not routed is not touched", "[expert]") {
  tests::Generator random(3);
  tests::ExpertCase<double> c(random, 4, {5, 3, 4});
  c.routing = tests::routing_of<double>(3, {{{0, .5}}, {{2, .5}}, {{0, .5}}, {}});
  const Ffn<> policy;
  auto own = policy.make_weights<Traits>(c.sizes);
  tests::randomize<double>(own, random, 0.5);
  const auto want = tests::run_experts(policy, own, c);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (index d = 0; d < 5; ++d) {  // poison in expert 1 does not spread
    own.up.at(1, 0, d) = nan;
    own.down.at(1, d, 0) = nan;
    own.down_bias.at(1, d) = nan;
  }
  auto gradient = policy.make_weights<Traits>(c.sizes);
  const auto got = tests::run_experts(policy, own, c, &gradient);
  CHECK(got.rows == want.rows);
  CHECK(got.y == want.y);
  for (const double v : got.dx) {
    CHECK(is_finite(v));
  }
  for (index h = 0; h < 4; ++h) {
    CHECK(gradient.up_bias.at(1, h) == 0.0);
    for (index d = 0; d < 5; ++d) {
      CHECK(gradient.up.at(1, h, d) == 0.0);
      CHECK(gradient.down.at(1, d, h) == 0.0);
      CHECK(gradient.down.at(0, d, h) != 0.0);
    }
  }
}

TEST_CASE("ffn: equal experts are one dense FFN", "[expert]") {
  tests::Generator random(4);
  const tests::ExpertCase<double> c(random, 9, {6, 4, 5});
  const Ffn<> policy{.init = {.copied = true, .deviation_in = 0.4f, .deviation_out = 0.4f}};
  auto own = policy.make_weights<Traits>(c.sizes);
  policy.initialize<Traits>(own, Random{1});
  const auto rows = tests::run_experts(policy, own, c).rows;
  tests::ExpertCase<double> single = c;
  single.sizes.experts = 1;
  std::vector<std::vector<tests::Wish>> wishes(9, {{0, 1.0}});
  single.routing = tests::routing_of<double>(1, wishes);
  auto one = policy.make_weights<Traits>(single.sizes);
  policy.initialize<Traits>(one, Random{1});
  const auto dense = tests::run_experts(policy, one, single).rows;
  const PlanView plan = [&] {
    static tests::Work<double> work;
    auto ctx = work.context();
    return dispatch::Dropless{}.plan(ctx, c.routing.view(), 4);
  }();
  for (index m = 0; m < plan.kept; ++m) {
    for (index d = 0; d < 6; ++d) {
      CHECK(rows[static_cast<std::size_t>(m * 6 + d)] ==
            dense[static_cast<std::size_t>(plan.token[m] * 6 + d)]);
    }
  }
  auto apart = policy.make_weights<Traits>(c.sizes);
  Ffn<>{.init = {.copied = false, .deviation_in = 0.4f, .deviation_out = 0.4f}}.initialize<Traits>(
      apart, Random{1});
  CHECK(tests::run_experts(policy, apart, c).rows != rows);
}

TEST_CASE("ffn: sizes, names, start", "[expert]") {
  const Ffn<> policy;
  auto own = policy.make_weights<Cpu<float>>({768, 64, 384});
  Parameters list;
  detail::append(list, "expert.", own);
  REQUIRE(list.size() == 4);
  CHECK(list[0].name == "expert.up.weight");
  CHECK(list[1].name == "expert.up.bias");
  CHECK(list[2].name == "expert.down.weight");
  CHECK(list[3].name == "expert.down.bias");
  CHECK(count(list) == 37'822'464);  // the published split 8
  CHECK(policy.multiply_adds({768, 64, 384}) == 2 * 768 * 384);
  auto plain = Ffn<>{.bias = false}.make_weights<Cpu<float>>({4, 2, 3});
  Parameters two;
  detail::append(two, "", plain);
  CHECK(two.size() == 2);
  CHECK(count(two) == 2 * 2 * 4 * 3);

  // Each matrix has a deviation of its own and a stream of its own.
  auto started = Ffn<>{.init = {.deviation_in = 1.f, .deviation_out = 2.f}};
  auto weights = started.make_weights<Traits>({50, 1, 50});
  started.initialize<Traits>(weights, Random{3});
  double in = 0.0, out = 0.0;
  for (const double w : weights.up.values()) {
    in += w * w / 2500.0;
  }
  for (const double w : weights.down.values()) {
    out += w * w / 2500.0;
  }
  CHECK(tests::within(in, 1.0, 5.0 * std::sqrt(2.0 / 2500.0)));
  CHECK(tests::within(out, 4.0, 20.0 * std::sqrt(2.0 / 2500.0)));
  CHECK(weights.up.at(0, 0, 1) * 2.0 != weights.down.at(0, 0, 1));
}

TEST_CASE("ffn: share of active hidden units, by hand", "[expert][ffn]") {
  // D = 1, H = 2, two experts
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne>,
                         expert::Ffn<activation::Relu>, dispatch::Dropless, Cpu<double>>;
  Layer layer({1, 2, 2}, {.expert = {.bias = false}}, cpu::Backend(1));
  const Parameters p = layer.parameters();
  p[0].as<double>().at(0, 0, 0) = 1.0;  // gate: positive tokens to expert 0
  Panels<double>& up = p[1].as<double>();
  up.at(0, 0, 0) = 1.0;
  up.at(0, 1, 0) = 1.0;   // expert 0: both units on for a positive token
  up.at(1, 0, 0) = -1.0;  // expert 1: one of two on for a negative token
  up.at(1, 1, 0) = 1.0;
  double x[] = {1.0, -2.0, -3.0}, y[3];
  Layer::Tape tape;
  layer.record(MatrixView<double>(x, 3, 1), {y, 3, 1}, tape);
  CHECK(layer.statistics(tape).active_ratio == (1.0 + 0.5) / 2.0);  // a mean over experts
  layer.record(MatrixView<double>(x, 1, 1), {y, 1, 1}, tape);
  CHECK(layer.statistics(tape).active_ratio == 1.0);  // idle experts take no part
}

}  // namespace
}  // namespace xmoe
