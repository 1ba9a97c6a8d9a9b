// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/biased.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using Ids = std::vector<index>;

/// The choice under selection biases.
template <class R, class P>
Ids choice(const P& select, const std::vector<R>& scores, const std::vector<R>& bias) {
  auto own = select.template make_weights<xmoe::Cpu<R>>({4, static_cast<index>(scores.size()), 4});
  own.bias.load(bias);
  return tests::chosen_by(select, scores, own);
}

using xmoe::select::Biased;
using xmoe::select::Threshold;
using xmoe::select::TopK;

TEMPLATE_TEST_CASE("biased: the bias orders", "[router][select]", float, double) {
  using R = TestType;
  const Biased<TopK> top{{2}};
  CHECK(choice<R>(top, {1, 4, 2, 3}, {0, 0, 0, 0}) == Ids{1, 3});
  CHECK(choice<R>(top, {1, 4, 2, 3}, {10, 0, 0, 0}) == Ids{0, 1});
  CHECK(choice<R>(top, {1, 4, 2, 3}, {0, -10, 0, 0}) == Ids{3, 2});
  CHECK(choice<R>(top, {1, 4, 2, 3}, {3, 0, 2, 1}) == Ids{0, 1});  // all keys 4: lower index
  CHECK(choice<R>(top, {1, 4, 2, 3}, {10, 0, 0, 0}) != Ids{1, 3});
}

TEMPLATE_TEST_CASE("biased: the mass of a threshold is made of scores alone", "[router][select]",
                   float, double) {
  using R = TestType;
  const Biased<Threshold> select{{0.5f}};
  const std::vector<R> p = {R(0.5), R(0.25), R(0.125), R(0.125)};
  CHECK(choice<R>(select, p, {0, 0, 0, 0}) == Ids{0});
  CHECK(choice<R>(select, p, {-1, 0, 0, 0}) == Ids{1, 2, 3});  // 0.25 + 0.125 < 0.5 <= ... + 0.125
  CHECK(choice<R>(select, p, {-1, 5, 0, 0}) == Ids{1, 2, 3});
  CHECK(choice<R>(select, p, {-9, 0, 0, 5}) == Ids{3, 1, 2});  // 0.125 + 0.25 + 0.125 = 0.5
  // In this order even a small threshold may need everybody: the room is E.
  CHECK(choice<R>(Biased<Threshold>{{0.6f}}, p, {-9, 0, 0, 0}) == Ids{1, 2, 3, 0});
  CHECK(select.max_assignments(3, 4) == 12);
  CHECK(Biased<Threshold>{{0.5f, 2}}.max_assignments(3, 4) == 6);
  CHECK(Biased<TopK>{{3}}.max_assignments(2, 4) == 6);
}

TEST_CASE("biased: one remembered tensor", "[router][select]") {
  using Select = Biased<TopK>;
  using Traits = xmoe::Cpu<float>;
  auto own = Select{}.make_weights<Traits>({16, 5, 8});
  xmoe::Parameters list;
  xmoe::detail::append(list, "select.", own);
  REQUIRE(list.size() == 1);
  CHECK(list[0].name == "select.bias");
  CHECK(list[0].role == xmoe::Role::remembered);
  CHECK(list[0].size() == 5);
}

TEST_CASE("biased: the bias never reaches a weight", "[router][select]") {
  using Plain = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, TopK>;
  using Router = xmoe::Router<xmoe::gate::Linear, xmoe::score::Softmax, Biased<TopK>>;
  using Traits = xmoe::Cpu<double>;
  tests::Work<double> work;
  tests::Generator random(8);
  const xmoe::Sizes sizes{4, 6, 1};
  Plain plain{.select = {6}};
  Router biased{.select = {{6}}};
  auto weights = plain.make_weights<Traits>(sizes);
  auto shifted = biased.make_weights<Traits>(sizes);
  weights.gate.weight.load(tests::normals(random, 24));
  shifted.gate = weights.gate;
  shifted.select.bias.load(tests::normals(random, 6, 100.0));
  const reference::Vector x = tests::normals(random, 4 * 9);
  const xmoe::Batch<double> batch{xmoe::In<double>(x.data(), 9, 4)};
  auto ctx = work.context();
  const auto a = plain.forward(ctx, weights, batch, 6);
  const auto b = biased.forward(ctx, shifted, batch, 6);
  bool moved = false;
  for (index t = 0; t < 9; ++t) {
    for (index i = b.routing.begin(t); i < b.routing.end(t); ++i) {
      moved = moved || a.routing.expert[i] != b.routing.expert[i];
      CHECK(b.routing.weight[i] == a.scores(t, b.routing.expert[i]));
    }
  }
  CHECK(moved);
}

TEST_CASE("biased: the inner policy is checked", "[router][select]") {
  CHECK(tests::message_of<xmoe::value_error>([] {
          Biased<TopK>{{5}}.check({4, 3, 4});
        }) == "xmoe::select::TopK: k is 5, must be in 1 .. 3 (experts)");
}

}  // namespace
}  // namespace xmoe
