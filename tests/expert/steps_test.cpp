// SPDX-License-Identifier: Apache-2.0
#include <xmoe/expert/steps.hpp>

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

TEMPLATE_TEST_CASE("steps: the way down", "[expert]", float, double) {
  using S = TestType;
  tests::Generator random(4);
  for (const index dim : {1, 7, 33}) {
    const index hidden = 5, rows = 6;
    Panels<S> down(2, dim, hidden), bias(2, dim, 1);
    down.load(tests::narrow<S>(tests::normals(random, down.size())));
    bias.load(tests::narrow<S>(tests::normals(random, bias.size())));
    const std::vector<S> h = tests::narrow<S>(tests::normals(random, rows * 8));
    const index offsets[3] = {0, 4, 6};
    for (const bool biased : {true, false}) {
      std::vector<S> got(static_cast<std::size_t>(rows * dim), std::numeric_limits<S>::quiet_NaN());
      tests::Work<S> work;
      auto ctx = work.context();
      expert::detail::project_down(ctx, Groups{2, offsets, rows}, Rows<S>{h.data(), 8, nullptr},
                                   down, biased ? bias : Panels<S>(),
                                   Out<S>(got.data(), rows, dim));
      reference::Vector want;
      for (index m = 0; m < rows; ++m) {
        const index e = m < 4 ? 0 : 1;
        for (index d = 0; d < dim; ++d) {
          double sum = biased ? static_cast<double>(bias.at(e, d)) : 0.0;
          for (index k = 0; k < hidden; ++k) {
            sum += static_cast<double>(down.at(e, d, k)) *
                   static_cast<double>(h[static_cast<std::size_t>(m * 8 + k)]);
          }
          want.push_back(sum);
        }
      }
      tests::check_close<S>("rows", tests::wide(got), want, hidden + 1);
      std::reverse(want.begin(), want.end());  // twin
      CHECK((want.size() < 12 || tests::relative_error(tests::wide(got), want) > 1e-3));
    }
  }
}

}  // namespace
}  // namespace xmoe
