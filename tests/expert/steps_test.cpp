// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/steps.hpp>
#include <xmoe/xmoe.hpp>

#include "support/catch.hpp"
#include "support/expert_case.hpp"

namespace xmoe {
namespace {

TEST_CASE("steps: every plan row once, with its expert", "[expert]") {
  tests::Generator random(1);
  for (const index experts : {1, 3, 60}) {
    for (const index tokens : {0, 1, 17, 70}) {
      const Routing<float> routing = tests::routing_of<float>(
          experts, tests::random_wishes(random, tokens, experts, 3, tokens % 2 == 0));
      tests::Work<float> work;
      auto ctx = work.context();
      const PlanView plan = dispatch::Dropless{}.plan(ctx, routing.view(), experts);
      std::vector<int> seen(static_cast<std::size_t>(plan.kept), 0);
      std::vector<index> expert(static_cast<std::size_t>(plan.kept), -1);
      expert::detail::for_each_plan_row(ctx, plan, [&](index e, index m) {
        ++seen[static_cast<std::size_t>(m)];
        expert[static_cast<std::size_t>(m)] = e;
      });
      INFO(experts << " experts, " << tokens << " tokens");
      CHECK(std::count(seen.begin(), seen.end(), 1) == plan.kept);
      for (index m = 0; m < plan.kept; ++m) {
        CHECK(expert[static_cast<std::size_t>(m)] == routing.view().expert[plan.assignment[m]]);
      }
    }
  }
}

TEST_CASE("steps: rows padded with zeros, or themselves", "[expert]") {
  tests::Work<double> work;
  auto ctx = work.context();
  constexpr index width = Panels<double>::width;
  tests::Generator random(3);
  const std::vector<double> dy = tests::normals(random, 4 * 2 * width);
  const std::int32_t gather[2] = {3, 1};
  const In<double> wide(dy.data(), 4, width, 2 * width);
  const Rows<double> same = expert::detail::padded_rows(ctx, wide, width, gather);
  CHECK(same.data == dy.data());
  CHECK(same.row(0) == wide.row_data(3));
  const In<double> narrow(dy.data(), 4, 3, 2 * width);
  const Rows<double> copy = expert::detail::padded_rows(ctx, narrow, width, gather);
  CHECK(copy.stride == width);
  for (index m = 0; m < 2; ++m) {
    for (index d = 0; d < width; ++d) {
      CHECK(copy.row(m)[d] == (d < 3 ? narrow(gather[m], d) : 0.0));
    }
  }
}

TEST_CASE("steps: the gradient of a weight", "[expert]") {
  const std::vector<double> hidden = {1, 2, 3}, dhidden = {4, 5, 6}, dy = {10, 20};
  Panels<double> none, bias(2, 2, 1);
  bias.at(1, 0) = 0.5;
  bias.at(1, 1) = 0.25;
  const auto gradient = [&](const Panels<double>& b, index e) {
    return expert::detail::weight_gradient(hidden.data(), dhidden.data(), 3, dy.data(), b, e);
  };
  CHECK(gradient(none, 0) == 32.0);
  CHECK(gradient(bias, 0) == 32.0);
  CHECK(gradient(bias, 1) == 42.0);
}

TEST_CASE("steps: waves cover every row once, in order, within their memory", "[expert]") {
  tests::Generator random(4);
  const index experts = 7;
  const Routing<float> routing =
      tests::routing_of<float>(experts, tests::random_wishes(random, 700, experts, 3, true));
  tests::Work<float> work;
  auto ctx = work.context();
  const PlanView plan = dispatch::Dropless{}.plan(ctx, routing.view(), experts);
  REQUIRE(plan.kept > 600);
  for (const index most : {index(300), plan.kept - 1, plan.kept, 10 * plan.kept}) {
    const index row_bytes = expert::detail::hidden_bytes / most;
    std::vector<index> expert_of;
    index waves = 0;
    expert::detail::for_each_wave(ctx, plan, row_bytes, [&](const Groups& g, bool add) {
      CHECK(add == (waves++ > 0));
      CHECK(g.first == static_cast<index>(expert_of.size()));
      CHECK(g.offsets[0] == g.first);
      CHECK(g.offsets[g.count] == g.first + g.rows);
      CHECK(g.rows <= expert::detail::hidden_bytes / row_bytes);
      for (index e = 0; e < g.count; ++e) {
        for (index m = g.offsets[e]; m < g.offsets[e + 1]; ++m) {
          expert_of.push_back(e);
        }
      }
    });
    INFO(most << " rows a wave");
    CHECK(waves == (plan.kept + most - 1) / most);
    REQUIRE(static_cast<index>(expert_of.size()) == plan.kept);
    bool right = true;
    for (index m = 0; m < plan.kept; ++m) {
      const index e = expert_of[static_cast<std::size_t>(m)];
      right = right && plan.expert_offsets[e] <= m && m < plan.expert_offsets[e + 1];
    }
    CHECK(right);
  }
}

TEST_CASE("steps: several waves compute what one computes, bit for bit", "[expert]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                         expert::Ffn<activation::Relu>, dispatch::Dropless>;
  const index tokens = 5000;  // 10000 rows of 1024 hidden numbers are 40 MiB
  Layer layer({.model_dim = 3, .experts = 4, .expert_dim = 1024});
  layer.initialize({.seed = 5});
  REQUIRE(tokens * 2 * 4096 > 2 * expert::detail::hidden_bytes);
  tests::Generator random(5);
  const std::vector<float> x = tests::narrow<float>(tests::normals(random, tokens * 3));
  std::vector<float> y(x.size());
  layer.forward(In<float>(x.data(), tokens, 3), Out<float>(y.data(), tokens, 3));
  for (const index t : {0, 1, 2500, 4001, 4999}) {  // every token alone
    float alone[3] = {};
    layer.forward(In<float>(x.data() + t * 3, 1, 3), Out<float>(alone, 1, 3));
    CHECK(std::memcmp(alone, y.data() + t * 3, sizeof(alone)) == 0);
    CHECK((alone[0] != 0.f && alone[1] != 0.f));
  }
}

}  // namespace
}  // namespace xmoe
