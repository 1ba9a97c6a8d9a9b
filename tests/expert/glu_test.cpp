// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/glu.hpp>

#include "support/catch.hpp"
#include "support/expert_case.hpp"

namespace xmoe {
namespace {

using expert::Glu;
using Traits = Cpu<double>;
using Concatenated = Glu<activation::Silu, expert::layout::Concatenated>;
using Interleaved = Glu<activation::Silu, expert::layout::Interleaved>;

TEST_CASE("glu: one expert by hand", "[expert]") {
  tests::Generator random(1);
  tests::ExpertCase<double> c(random, 1, {2, 1, 2});
  const Glu<activation::Relu> policy{.bias = true};
  auto own = policy.make_weights<Traits>(c.sizes);
  own.gate_up.load(std::vector<double>{1, 1, 1, -1, 2, 0, 0, 3});  // gate, gate, up, up
  own.gate_up_bias.load(std::vector<double>{0.5, 0, 1, 2});
  own.down.load(std::vector<double>{1, 10, 100, 1000});
  own.down_bias.load(std::vector<double>{7, 8});
  c.x = {1, 2};  // gate 3.5, -1 -> 3.5, 0; up 3, 8; hidden 10.5, 0
  CHECK(tests::run_experts(policy, own, c).rows == std::vector<double>{17.5, 1058});
  c.x = {2, 1};  // gate 3.5, 1; up 5, 5; hidden 17.5, 5
  CHECK(tests::run_experts(policy, own, c).rows == std::vector<double>{74.5, 6758});
  c.x = {-1, -2};  // both gates shut: only the bias
  own.gate_up_bias.zero();
  own.gate_up.at(0, 1, 0) = 0.0;
  own.gate_up.at(0, 1, 1) = 1.0;
  CHECK(tests::run_experts(policy, own, c).rows == std::vector<double>{7, 8});
}

TEMPLATE_TEST_CASE("glu: against the oracle", "[expert]", float, double) {
  using S = TestType;
  tests::Generator random(2);
  for (const bool bias : {true, false}) {
    for (const Sizes sizes : {Sizes{8, 3, 8}, Sizes{1, 2, 1}, Sizes{33, 4, 17}, Sizes{7, 1, 40}}) {
      const tests::ExpertCase<S> c(random, 17, sizes);
      const Concatenated policy{.bias = bias};
      auto own = policy.template make_weights<Cpu<S>>(sizes);
      tests::randomize<S>(own, random, 0.5);
      const auto experts = tests::oracle_experts<S>(own, reference::Activation::silu, true, sizes);
      const reference::Vector want = tests::oracle_rows(experts, c);
      const index chain = 2 * sizes.model_dim + sizes.expert_dim + 3;
      INFO(sizes.model_dim << " x " << sizes.expert_dim << ", bias " << bias);
      tests::check_close<S>("rows", tests::wide(tests::run_experts(policy, own, c).rows), want,
                            chain);
      auto turned = experts;  // twin: gate and up exchanged
      const index half = sizes.expert_dim * sizes.model_dim;
      for (index e = 0; e < sizes.experts; ++e) {
        const auto first = turned.up.values.begin() + e * 2 * half;
        std::swap_ranges(first, first + half, first + half);
      }
      const double allowed = tests::tolerance<S>(chain, tests::magnitude(want));
      CHECK_FALSE(tests::difference(tests::oracle_rows(turned, c), want, allowed).close);
    }
  }
}

TEST_CASE("glu: both layouts are one layer, bit for bit", "[expert]") {
  tests::Generator random(3);
  for (const Sizes sizes : {Sizes{6, 3, 6}, Sizes{12, 2, 6}, Sizes{5, 2, 40}}) {  // D = H, D = 2H
    const tests::ExpertCase<double> c(random, 11, sizes);
    const index hidden = sizes.expert_dim, dim = sizes.model_dim;
    auto a = Concatenated{.bias = true}.make_weights<Traits>(sizes);
    tests::randomize<double>(a, random, 0.7);
    auto b = Interleaved{.bias = true}.make_weights<Traits>(sizes);
    for (index e = 0; e < sizes.experts; ++e) {  // row h -> 2h, row H + h -> 2h + 1
      for (index h = 0; h < 2 * hidden; ++h) {
        const index to = h < hidden ? 2 * h : 2 * (h - hidden) + 1;
        b.gate_up_bias.at(e, to) = a.gate_up_bias.at(e, h);
        for (index d = 0; d < dim; ++d) {
          b.gate_up.at(e, to, d) = a.gate_up.at(e, h, d);
        }
      }
    }
    b.down = a.down;
    b.down_bias = a.down_bias;
    auto ga = Concatenated{.bias = true}.make_weights<Traits>(sizes);
    auto gb = Interleaved{.bias = true}.make_weights<Traits>(sizes);
    const auto one = tests::run_experts(Concatenated{.bias = true}, a, c, &ga);
    const auto two = tests::run_experts(Interleaved{.bias = true}, b, c, &gb);
    CHECK(tests::same_bits(one.rows, two.rows));
    CHECK(tests::same_bits(one.dx, two.dx));
    CHECK(tests::same_bits(one.dweight, two.dweight));
    CHECK(tests::wide(a.gate_up.values()) == tests::wide(b.gate_up.values()));  // memory too
    CHECK(tests::wide(ga.gate_up.values()) == tests::wide(gb.gate_up.values()));
    // twin: the plain numbers of one layout read as the other
    std::vector<double> plain(static_cast<std::size_t>(a.gate_up.size()));
    a.gate_up.store(plain);
    b.gate_up.load(plain);
    CHECK_FALSE(
        tests::same_bits(one.rows, tests::run_experts(Interleaved{.bias = true}, b, c).rows));
  }
}

TEMPLATE_TEST_CASE("glu: square matrices survive loading, transposed or not", "[expert]",
                   Concatenated, Interleaved) {
  const Sizes sizes{12, 2, 6};  // 2H = D: gate_up is square
  tests::Generator random(5);
  const std::vector<double> numbers = tests::normals(random, 2 * 12 * 12);
  auto own = TestType{}.template make_weights<Traits>(sizes);
  for (const bool transposed : {false, true}) {
    own.gate_up.load(numbers, transposed);
    std::vector<double> back(numbers.size());
    own.gate_up.store(back, transposed);
    CHECK(back == numbers);
    own.gate_up.store(back, !transposed);
    CHECK(back != numbers);
    for (index e = 0; e < 2; ++e) {
      for (index r = 0; r < 12; ++r) {
        for (index d = 0; d < 12; ++d) {
          const index plain = transposed ? (e * 12 + d) * 12 + r : (e * 12 + r) * 12 + d;
          CHECK(own.gate_up.at(e, r, d) == numbers[static_cast<std::size_t>(plain)]);
        }
      }
    }
  }
  const std::string text =
      tests::message_of<shape_error>([&] { own.gate_up.load(std::vector<double>(7)); });
  CHECK(text == "xmoe::Panels::load: 7 numbers given, 2 x 12 x 12 expected");
}

TEST_CASE("glu: sizes, names", "[expert]") {
  auto own = Concatenated{.bias = true}.make_weights<Cpu<float>>({8, 3, 5});
  Parameters list;
  detail::append(list, "expert.", own);
  REQUIRE(list.size() == 4);
  CHECK(list[0].name == "expert.gate_up.weight");
  CHECK(list[1].name == "expert.gate_up.bias");
  CHECK(list[2].name == "expert.down.weight");
  CHECK(list[3].name == "expert.down.bias");
  CHECK(count(list) == 3 * (10 * 8 + 10 + 8 * 5 + 8));
  CHECK(Concatenated{}.multiply_adds({8, 3, 5}) == 3 * 8 * 5);
  auto plain = Concatenated{}.make_weights<Cpu<float>>({8, 3, 5});
  Parameters two;
  detail::append(two, "", plain);
  CHECK(two.size() == 2);
}

TEST_CASE("glu: share of active hidden units, by hand", "[expert][glu]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopOne>,
                         expert::Glu<activation::Identity>, dispatch::Dropless, Cpu<double>>;
  Layer layer({1, 1, 20}, {}, cpu::Backend(1));  // 20 units: more than one panel of 16
  Panels<double>& joint = layer.parameters()[1].as<double>();
  for (index j = 0; j < 20; ++j) {
    joint.at(0, j, 0) = 1.0;                      // gate
    joint.at(0, 20 + j, 0) = j < 5 ? 1.0 : -1.0;  // up: five products are positive
  }
  double x[] = {2.0}, y[1];
  Layer::Tape tape;
  layer.record(MatrixView<double>(x, 1, 1), {y, 1, 1}, tape);
  CHECK(layer.statistics(tape).active_ratio == 0.25);
}

}  // namespace
}  // namespace xmoe
