// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/grouped_each.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Choices;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::GroupedEach;
using xmoe::select::Threshold;
using xmoe::select::TopK;
using xmoe::select::TopOne;

/// A softmax in each half.
wave::Row halves(index token) {
  const wave::Row z = wave::logits(token);
  wave::Row s = tests::scores_of(score::Softmax{}, wave::Row(z.begin(), z.begin() + 4));
  const wave::Row t = tests::scores_of(score::Softmax{}, wave::Row(z.begin() + 4, z.end()));
  s.insert(s.end(), t.begin(), t.end());
  return s;
}

TEST_CASE("grouped each: figures of two top-1 prototypes", "[router][select]") {
  const Choices want = {{1, 7}, {0, 5}, {0, 7}, {2, 6}};
  const double weights[4][2] = {{.53483761, .58216558},
                                {.38008611, .44796487},
                                {.73802460, .76431645},
                                {.95665685, .96855332}};
  CHECK(wave::choices(GroupedEach<>{}, halves) == want);
  CHECK(wave::choices(TopK{2}, halves) != want);  // best of all first: {7, 1}
  for (index t = 0; t < 4; ++t) {
    for (std::size_t r = 0; r < 2; ++r) {
      const index e = want[static_cast<std::size_t>(t)][r];
      CHECK(std::abs(halves(t)[static_cast<std::size_t>(e)] - weights[t][r]) < 1e-8);
    }
  }
}

TEMPLATE_TEST_CASE("grouped each: group by group, best first within", "[router][select]", float,
                   double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const std::vector<R> s = {1, 2, 9, 8, 4, 4};
  CHECK(chosen_by(GroupedEach<TopK>{{1}, 3}, s) == Ids{1, 2, 4});
  CHECK(chosen_by(GroupedEach<TopK>{{2}, 3}, s) == Ids{1, 0, 2, 3, 4, 5});
  CHECK(chosen_by(GroupedEach<TopK>{{2}, 2}, s) == Ids{2, 1, 3, 4});
  CHECK(chosen_by(GroupedEach<>{{}, 6}, s) == Ids{0, 1, 2, 3, 4, 5});
  CHECK(chosen_by(GroupedEach<>{{}, 1}, s) == Ids{2});
  CHECK(chosen_by<R>(GroupedEach<>{{}, 3}, {1, 2, -inf, -inf, 4, 3}) == Ids{1, 4});
  CHECK(tests::chosen_from<R>(GroupedEach<>{{}, 3}, {0, -inf, 0, 0, 0, 0}, s, {}) == Ids{0, 2, 4});
  // mass within a group of a row's probabilities: as much as there is
  CHECK(chosen_by<R>(GroupedEach<Threshold>{{0.25f}, 2}, {R(0.25), R(0.5), R(0.125), R(0.125)}) ==
        Ids{1, 2, 3});
}

TEST_CASE("grouped each: a bias outside is an expert's, inside a place's", "[router][select]") {
  const wave::Row s = {1, 2, 3, 4};
  const Biased<GroupedEach<>> outside{};
  auto own = outside.make_weights<xmoe::Cpu<double>>({1, 4, 1});
  own.bias.load(wave::Row{5, 0, 0, 0});
  CHECK(chosen_by(outside, s, own) == Ids{0, 3});
  const GroupedEach<Biased<TopOne>> inside{};
  auto shared = inside.make_weights<xmoe::Cpu<double>>({1, 4, 1});
  CHECK(shared.bias.size() == 2);
  shared.bias.load(wave::Row{5, 0});
  CHECK(chosen_by(inside, s, shared) == Ids{0, 2});
  // groups within groups: the other group's experts are forbidden
  const xmoe::select::Grouped<GroupedEach<>> nested{{{}, 4}, 2, 1, 1};
  CHECK(chosen_by(nested, s) == Ids{2, 3});
}

TEST_CASE("grouped each: errors", "[router][select]") {
  CHECK(GroupedEach<TopK>{{2}, 2}.max_assignments(3, 8) == 12);
  CHECK(GroupedEach<Threshold>{{0.f}, 2}.max_assignments(3, 8) == 24);
  const auto text = [](GroupedEach<TopK> select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 8, 4}); });
  };
  CHECK(text({{1}, 3}) == "xmoe::select::GroupedEach: groups is 3, must divide 8 (experts)");
  CHECK(text({{3}, 4}) == "xmoe::select::TopK: k is 3, must be in 1 .. 2 (experts)");
  CHECK(!text({{1}, 0}).empty());
  CHECK(text({{2}, 4}).empty());
}

}  // namespace
}  // namespace xmoe
