// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/agreement.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::Agreement;
using metrics::Overlap;
using metrics::Stickiness;
using tests::within;
using Ids = std::vector<std::int32_t>;
using Wishes = std::vector<std::vector<tests::Wish>>;

Agreement compare(const Wishes& now, const Wishes& final, index experts = 4,
                  const std::vector<std::uint8_t>& valid = {}) {
  const auto a = tests::routing_of<double>(experts, now);
  const auto b = tests::routing_of<double>(experts, final);
  return metrics::agreement(a.view(), b.view(), tests::in(valid));
}

TEST_CASE("agreement: golden saturation of three tokens", "[metrics]") {
  const Wishes now = {{{0, .9}, {1, .5}}, {{1, .9}, {2, .5}}, {{0, .9}, {3, .5}}};
  const Wishes final = {{{0, .9}, {1, .5}}, {{1, .9}, {3, .5}}, {{2, .9}, {3, .5}}};
  const Agreement a = compare(now, final);
  CHECK(a.tokens == 3);
  CHECK(within(a.saturation, 2.0 / 3.0, 1e-15));
  CHECK(within(a.change_rate, 2.0 / 3.0, 1e-15));
  CHECK(within(a.first_change_rate, 1.0 / 3.0, 1e-15));
  CHECK(compare(final, final).saturation == 1.0);
  CHECK(compare(final, final).change_rate == 0.0);
  const Agreement none = compare({{{0, .5}, {1, .5}}}, {{{2, .5}, {3, .5}}});
  CHECK((none.saturation == 0.0 && none.change_rate == 1.0 && none.first_change_rate == 1.0));
}

TEST_CASE("agreement: order, lengths, empty rows, padding", "[metrics]") {
  const Agreement swapped = compare({{{0, .5}, {1, .5}}}, {{{1, .5}, {0, .5}}});
  CHECK((swapped.saturation == 1.0 && swapped.change_rate == 0.0));
  CHECK(swapped.first_change_rate == 1.0);
  // of the final choice: one of two is there, then two of one
  CHECK(compare({{{0, .5}}}, {{{0, .5}, {1, .5}}}).saturation == 0.5);
  CHECK(compare({{{0, .5}, {1, .5}}}, {{{0, .5}}}).saturation == 1.0);
  CHECK(compare({{{0, .5}, {1, .5}}}, {{{0, .5}}}).change_rate == 1.0);
  const Agreement empty = compare({{}, {{1, .5}}, {}}, {{}, {}, {{1, .5}}});
  CHECK((empty.tokens == 3 && empty.saturation == 0.0));
  CHECK(within(empty.change_rate, 2.0 / 3.0, 1e-15));
  CHECK(within(empty.first_change_rate, 2.0 / 3.0, 1e-15));
  const Agreement padded = compare({{{0, .5}}, {{1, .5}}}, {{{0, .5}}, {{2, .5}}}, 4, {1, 0});
  CHECK((padded.tokens == 1 && padded.saturation == 1.0 && padded.change_rate == 0.0));
  const Agreement nothing = compare({}, {});
  CHECK((nothing.saturation == 0.0 && nothing.change_rate == 0.0));
  CHECK_THROWS_AS(compare({{}}, {}), shape_error);
  CHECK_THROWS_AS(compare({{}}, {{}}, 4, {1, 1}), shape_error);
}

TEST_CASE("agreement: against the formulas", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    const auto c = tests::random_routing(random, tokens, experts, padded);
    auto d = tests::random_routing(random, tokens, experts, false);
    double saturation = 0.0, changed = 0.0, real = 0.0, chosen = 0.0;
    for (index t = 0; t < tokens; ++t) {
      if (random.below(2) == 0) {
        d.wishes[static_cast<std::size_t>(t)] = c.of(t);
      }
      if (!c.real(t)) {
        continue;
      }
      real += 1.0;
      changed += c.set(t) == d.set(t) ? 0.0 : 1.0;
      if (!d.of(t).empty()) {
        chosen += 1.0;
        saturation += static_cast<double>(tests::common(c.set(t), d.set(t))) /
                      static_cast<double>(d.set(t).size());
      }
    }
    const Agreement a = compare(c.wishes, d.wishes, experts, c.valid);
    CHECK(static_cast<double>(a.tokens) == real);
    CHECK(within(a.saturation, chosen > 0.0 ? saturation / chosen : 0.0, 1e-14));
    CHECK(within(a.change_rate, real > 0.0 ? changed / real : 0.0, 1e-14));
  });
}

TEST_CASE("overlap: top experts of two tasks", "[metrics]") {
  CHECK(metrics::top_experts(std::vector<index>{3, 9, 3, 1, 9}, 3) == Ids{1, 4, 0});
  const Ids tied = metrics::top_experts(std::vector<index>(100, 7), 50);
  CHECK(std::is_sorted(tied.begin(), tied.end()));
  CHECK(tied.back() == 49);
  CHECK(metrics::top_experts(std::vector<double>{.5, .7}, 9) == Ids{1, 0});
  CHECK(metrics::top_experts(std::vector<index>{1, 2}, 0).empty());
  CHECK(metrics::top_experts(std::vector<index>{}, 2).empty());
  const Overlap o = metrics::overlap(Ids{4, 1, 0}, Ids{0, 2, 4});
  CHECK(o.common == 2);
  CHECK(o.jaccard == 0.5);
  CHECK(o.share == 2.0 / 3.0);
  const Overlap same = metrics::overlap(Ids{2, 1}, Ids{1, 2, 2, 1});
  CHECK((same.common == 2 && same.jaccard == 1.0 && same.share == 1.0));
  const Overlap part = metrics::overlap(Ids{5}, Ids{5, 6, 7, 8});
  CHECK((part.common == 1 && part.jaccard == 0.25 && part.share == 0.25));
  const Overlap none = metrics::overlap(Ids{}, Ids{});
  CHECK((none.common == 0 && none.jaccard == 0.0 && none.share == 0.0));
  CHECK(metrics::overlap(Ids{1}, Ids{}).jaccard == 0.0);
}

Stickiness stick(const Wishes& wishes, const std::vector<std::uint8_t>& valid = {},
                 const std::vector<index>& sequences = {}) {
  const auto routing = tests::routing_of<double>(4, wishes);
  return metrics::stickiness(routing.view(), tests::in(valid), tests::in(sequences));
}

TEST_CASE("stickiness: by hand", "[metrics]") {
  // {0,1} {1,0} {1,2} {3}: same, one of two, none of one
  const Wishes wishes = {{{0, .9}, {1, .5}}, {{1, .9}, {0, .5}}, {{1, .9}, {2, .5}}, {{3, .5}}};
  const Stickiness s = stick(wishes);
  CHECK(s.pairs == 3);
  CHECK(within(s.same, 1.0 / 3.0, 1e-15));
  CHECK(within(s.same_first, 1.0 / 3.0, 1e-15));
  CHECK(within(s.reuse, 0.5, 1e-15));
  CHECK(within(s.reuse_by_chance, (4.0 + 9.0 + 1.0 + 1.0) / (4.0 * 7.0), 1e-15));
  const Stickiness cut = stick(wishes, {}, {0, 2, 4});  // the middle pair is none
  CHECK((cut.pairs == 2 && cut.same == 0.5 && cut.reuse == 0.5 && cut.same_first == 0.0));
  const Stickiness padded = stick(wishes, {1, 1, 0, 1});  // neighbours of padding are none
  CHECK((padded.pairs == 1 && padded.same == 1.0 && padded.reuse == 1.0));
}

TEST_CASE("stickiness: constant, alternating, empty rows, nothing", "[metrics]") {
  const Stickiness constant = stick(Wishes(6, {{2, .5}, {1, .5}}));
  CHECK((constant.pairs == 5 && constant.same == 1.0 && constant.reuse == 1.0));
  CHECK(constant.reuse_by_chance == 1.0);
  const Stickiness turns = stick({{{0, 1}}, {{1, 1}}, {{0, 1}}, {{1, 1}}});
  CHECK((turns.same == 0.0 && turns.reuse == 0.0 && turns.reuse_by_chance == 0.5));
  const Stickiness empty = stick({{}, {}, {{1, .5}}, {}});  // same, none, differs
  CHECK((empty.pairs == 3 && empty.reuse == 0.0));
  CHECK(within(empty.same, 1.0 / 3.0, 1e-15));
  CHECK(within(empty.same_first, 1.0 / 3.0, 1e-15));
  for (const Wishes& few : {Wishes{}, Wishes{{{0, .5}}}}) {
    const Stickiness none = stick(few);
    CHECK((none.pairs == 0 && none.same == 0.0 && none.reuse == 0.0));
    CHECK(none.reuse_by_chance == 0.0);
  }
  CHECK_THROWS_AS(stick({{}}, {}, {0, 2}), shape_error);
  CHECK_THROWS_AS(stick({{}}, {1, 1}), shape_error);
}

TEST_CASE("stickiness: against the formulas; chance is what shuffling gives", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    const auto c = tests::random_routing(random, tokens, experts, padded);
    double pairs = 0.0, same = 0.0, reuse = 0.0, chosen = 0.0;
    for (index t = 1; t < tokens; ++t) {
      if (c.real(t) && c.real(t - 1)) {
        pairs += 1.0;
        same += c.set(t) == c.set(t - 1) ? 1.0 : 0.0;
        if (!c.set(t).empty()) {
          chosen += 1.0;
          reuse += static_cast<double>(tests::common(c.set(t), c.set(t - 1))) /
                   static_cast<double>(c.set(t).size());
        }
      }
    }
    const Stickiness s = metrics::stickiness(c.routing.view(), tests::in(c.valid));
    CHECK(static_cast<double>(s.pairs) == pairs);
    CHECK(within(s.same, pairs > 0.0 ? same / pairs : 0.0, 1e-14));
    CHECK(within(s.reuse, chosen > 0.0 ? reuse / chosen : 0.0, 1e-14));
  });
  tests::Generator random(5);
  Wishes wishes;
  for (index t = 0; t < 4000; ++t) {  // one expert a token, half of them the first
    wishes.push_back({{random.below(2) == 0 ? 0 : random.below(4), 1.0}});
  }
  const Stickiness s = stick(wishes);
  CHECK(within(s.reuse, s.reuse_by_chance, 0.03));
  CHECK(s.reuse_by_chance > 0.4);  // shares 5/8 1/8 1/8 1/8: 7/16
}

}  // namespace
}  // namespace xmoe
