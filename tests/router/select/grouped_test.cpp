// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/grouped.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Choices;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Grouped;
using xmoe::select::Threshold;
using xmoe::select::TopK;
using D = xmoe::Cpu<double>;

template <class P>
auto weights(const P& select, const wave::Row& bias) {
  auto own = select.template make_weights<D>({1, static_cast<index>(bias.size()), 1});
  own.bias.load(bias);
  return own;
}
wave::Row waved_bias() {
  wave::Row b;
  for (int j = 0; j < 8; ++j) {
    b.push_back(0.1 * std::cos(j));
  }
  return b;
}

TEST_CASE("grouped: figures of DeepSeek-V3's gate", "[router][select]") {
  const auto check = [](index limit, const Choices& ids, const std::vector<wave::Row>& want) {
    const Biased<Grouped<TopK>> outside{{{3}, 4, limit, 2}};
    const Grouped<Biased<TopK>> inside{{{3}}, 4, limit, 2};
    const auto own = weights(outside, waved_bias());
    CHECK(wave::choices(outside, wave::sigmoid, own) == ids);
    for (index t = 0; t < 4; ++t) {
      const auto i = static_cast<std::size_t>(t);
      const std::vector<std::int32_t> chosen(ids[i].begin(), ids[i].end());
      const wave::Row w = tests::weights_by(weigh::Normalized{2.5f}, {}, wave::sigmoid(t), chosen);
      for (std::size_t r = 0; r < 3; ++r) {
        CHECK(std::abs(w[r] - want[i][r]) < 1e-8);
      }
    }
    // The bias inside orders experts only, not groups.
    CHECK(chosen_by(inside, wave::sigmoid(1), own).size() == 3);
  };
  check(2, {{1, 7, 6}, {0, 1, 5}, {7, 0, 1}, {6, 2, 7}},
        {{1.02676427, .80566649, .66756924},
         {.85433300, .82221406, .82345294},
         {1.19249473, 1.03119634, .27630894},
         {1.19576313, 1.20526748, .09896939}});
  check(4, {{1, 7, 2}, {0, 1, 5}, {7, 0, 4}, {6, 2, 0}},  // as without groups
        {{.95345981, .74814701, .79839318},
         {.85433300, .82221406, .82345294},
         {.95573294, .82645926, .71780779},
         {1.15010872, 1.15925020, .19064108}});
}

TEST_CASE("grouped: groups by their largest, by their sums", "[router][select]") {
  CHECK(wave::choices(Grouped<>{{3}, 4, 2, 1}, wave::softmax) ==
        Choices{{1, 2, 3}, {0, 3, 1}, {7, 0, 1}, {2, 6, 3}});
  CHECK(wave::sorted(wave::choices(Grouped<>{{4}, 4, 2, 2}, wave::sigmoid)) ==
        Choices{{0, 1, 2, 3}, {0, 1, 4, 5}, {4, 5, 6, 7}, {2, 3, 6, 7}});
  CHECK(wave::choices(Grouped<>{{2}, 2, 1, 0}, wave::softmax) ==
        Choices{{1, 2}, {0, 3}, {7, 4}, {2, 3}});
  CHECK(wave::choices(Grouped<>{{2}, 4, 1, 0}, wave::softmax) ==
        Choices{{1, 0}, {0, 1}, {7, 6}, {2, 3}});
}

TEST_CASE("grouped: an excluded expert loses to a negative key", "[router][select]") {
  const Biased<Grouped<TopK>> select{{{3}, 4, 2, 2}};
  const auto own = weights(select, wave::Row(8, -1.0));
  // With 0 for the excluded ones it would be {4,5,6} {2,3,6} {0,1,2} {0,1,4}.
  CHECK(wave::choices(select, wave::sigmoid, own) ==
        Choices{{1, 2, 3}, {0, 5, 1}, {7, 4, 5}, {2, 6, 3}});
}

TEMPLATE_TEST_CASE("grouped: what a group is worth", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R low = std::numeric_limits<R>::lowest();
  const std::vector<R> s = {5, 0, 3, 3, 4, 4, 1, 6};  // sums 5 6 8 7, largest 5 3 4 6
  CHECK(chosen_by(Grouped<>{{1}, 4, 1, 1}, s) == Ids{7});
  CHECK(chosen_by(Grouped<>{{2}, 4, 1, 2}, s) == Ids{4, 5});
  CHECK(chosen_by(Grouped<>{{2}, 4, 1, 9}, s) == Ids{4, 5});  // at most all
  CHECK(chosen_by(Grouped<>{{2}, 4, 1, 0}, s) == Ids{4, 5});
  CHECK(chosen_by(Grouped<>{{2}, 4, 2, 1}, s) == Ids{7, 0});
  CHECK(chosen_by(Grouped<>{{3}, 4, 4, 1}, s) == chosen_by(TopK{3}, s));
  CHECK(chosen_by(Grouped<>{{2}, 8, 2, 2}, s) == Ids{7, 0});  // groups of one
  // ties: the lower group
  CHECK(chosen_by<R>(Grouped<>{{2}, 2, 1, 0}, {1, 2, 2, 1}) == Ids{1, 0});
  // who may not be chosen counts for nothing; a group of them is no group
  CHECK(chosen_by<R>(Grouped<>{{2}, 2, 1, 2}, {-inf, 3, 1, 1}) == Ids{1});
  CHECK(chosen_by<R>(Grouped<>{{2}, 2, 1, 2}, {-inf, 1, 1, 1}) == Ids{2, 3});
  CHECK(chosen_by<R>(Grouped<>{{2}, 2, 1, 0}, {-inf, -inf, -5, -5}) == Ids{2, 3});
  CHECK(chosen_by<R>(Grouped<>{{1}, 2, 1, 2}, std::vector<R>(4, -inf)).empty());
  CHECK(chosen_by<R>(Grouped<>{{2}, 2, 1, 0}, std::vector<R>(4, low)) == Ids{0, 1});  // overflow
}

TEST_CASE("grouped: against choosing groups by hand", "[router][select]") {
  tests::Generator random(24);
  for (int i = 0; i < 300; ++i) {
    const index groups = 1 + random.below(24);
    const index size = 1 + random.below(4);
    const index limit = 1 + random.below(groups);
    const index best = random.below(4);
    const index k = 1 + random.below(limit * size);
    const wave::Row s = tests::normals(random, groups * size);
    INFO(i << ": " << groups << " groups of " << size << ", limit " << limit << ", best " << best);
    std::vector<std::pair<double, index>> worth;
    for (index g = 0; g < groups; ++g) {
      wave::Row own(s.begin() + g * size, s.begin() + (g + 1) * size);
      std::sort(own.rbegin(), own.rend());
      own.resize(static_cast<std::size_t>(best == 0 ? size : std::min(best, size)));
      double sum = 0.0;
      for (const double v : own) {
        sum += v;
      }
      worth.emplace_back(-sum, g);
    }
    std::sort(worth.begin(), worth.end());
    wave::Row allowed(s.size(), -std::numeric_limits<double>::infinity());
    for (index r = 0; r < limit; ++r) {
      const index first = worth[static_cast<std::size_t>(r)].second * size;
      std::copy_n(s.begin() + first, size, allowed.begin() + first);
    }
    const Grouped<> select{{k}, groups, limit, best};
    select.check({1, groups * size, 1});
    CHECK(chosen_by(select, s) == chosen_by(TopK{k}, allowed));
  }
}

TEST_CASE("grouped: groups may change places, and experts within", "[router][select]") {
  tests::Generator random(25);
  for (int i = 0; i < 50; ++i) {
    const Grouped<Threshold> select{{0.6f}, 4, 2, 2};
    const wave::Row p = tests::scores_of(score::Softmax{}, tests::normals(random, 12));
    std::vector<index> order;
    for (const index g : tests::permutation(random, 4)) {
      for (const index e : tests::permutation(random, 3)) {
        order.push_back(3 * g + e);
      }
    }
    wave::Row moved;
    for (const index e : order) {
      moved.push_back(p[static_cast<std::size_t>(e)]);
    }
    Ids back;
    for (const index e : chosen_by(select, moved)) {
      back.push_back(order[static_cast<std::size_t>(e)]);
    }
    CHECK(back == chosen_by(select, p));
  }
}

TEST_CASE("grouped: room, flags, weights and errors", "[router][select]") {
  CHECK(Grouped<>{{3}, 4, 2}.max_assignments(5, 8) == 15);
  CHECK(Grouped<Threshold>{{0.1f}, 4, 2}.max_assignments(5, 8) == 20);  // of its own order: 2
  STATIC_REQUIRE(Grouped<xmoe::select::TopOne>::always_experts == 1);
  STATIC_REQUIRE(Grouped<>::always_experts == 0);
  STATIC_REQUIRE(Grouped<Threshold>::needs_probabilities);
  STATIC_REQUIRE(Biased<Grouped<Threshold>>::needs_probabilities);
  STATIC_REQUIRE_FALSE(Grouped<>::needs_probabilities);
  STATIC_REQUIRE(std::same_as<xmoe::weights_of<Grouped<>, D>, xmoe::NoWeights>);
  const auto text = [](Grouped<> select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 8, 4}); });
  };
  CHECK(text({{2}, 3, 1}) ==
        "xmoe::select::Grouped: groups is 3, limit is 1, best_keys is 2; need groups that divide 8 "
        "(experts), a limit in 1 .. groups, and 0 or more");
  CHECK(text({{5}, 4, 2}) ==
        "xmoe::select::Grouped: k is 5, must be in 1 .. 4 (experts in 2 groups)");
  CHECK(text({{9}, 4, 4}).find("xmoe::select::TopK: k is 9") == 0);
  CHECK(!text({{2}, 4, 5}).empty());
  CHECK(!text({{2}, 4, 0}).empty());
  CHECK(!text({{2}, 0, 0}).empty());
  CHECK(!text({{2}, 4, 2, -1}).empty());
  CHECK(text({{4}, 4, 2}).empty());
}

}  // namespace
}  // namespace xmoe
