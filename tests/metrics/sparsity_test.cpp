// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/sparsity.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::Sparsity;
using tests::within;

const std::vector<double> golden_gates = {.6, .4, 0, 0, .5, 0, .5, 0, 0, 0, .2, .8, 0, 0, 0, 1};

Sparsity of(const std::vector<double>& gates, index experts, index chunk,
            const std::vector<std::uint8_t>& valid = {}, const std::vector<index>& sequences = {}) {
  return metrics::sparsity(
      In<double>(gates.data(), static_cast<index>(gates.size()) / experts, experts), chunk,
      tests::in(valid), tests::in(sequences));
}

TEST_CASE("sparsity: golden figures of four tokens", "[metrics]") {
  const Sparsity s = of(golden_gates, 4, 2);
  CHECK((s.tokens == 4 && s.chunks == 2));
  CHECK(s.token_level == 0.5625);
  CHECK(s.chunk_level ==
        0.375);  // .25 and .5; windows that overlap would give 1/4 + 0 + 1/2 over 3
  CHECK(of(golden_gates, 4, 1).chunk_level == 0.5625);
  CHECK(of(golden_gates, 4, 4).chunk_level == 0.0);
  // the same as a routing, with a weight of 0 as an idle expert
  const auto routing = tests::routing_of<double>(
      4, {{{0, .6}, {1, .4}, {3, 0}}, {{2, .5}, {0, .5}, {2, .1}}, {{3, .8}, {2, .2}}, {{3, 1}}});
  const Sparsity r = metrics::sparsity(routing.view(), 2);
  CHECK((r.token_level == 0.5625 && r.chunk_level == 0.375 && r.chunks == 2));
}

TEST_CASE("sparsity: rests, padding, sequences", "[metrics]") {
  const Sparsity rest = of(golden_gates, 4, 3);  // the last token is in no chunk
  CHECK((rest.chunks == 1 && rest.chunk_level == 0.0 && rest.token_level == 0.5625));
  CHECK(of(golden_gates, 4, 5).chunks == 0);
  CHECK(of(golden_gates, 4, 5).chunk_level == 0.0);
  const Sparsity padded = of(golden_gates, 4, 2, {1, 0, 1, 1});  // tokens 0 and 2 are neighbours
  CHECK((padded.tokens == 3 && padded.chunks == 1 && padded.chunk_level == 0.0));
  const Sparsity cut = of(golden_gates, 4, 2, {}, {0, 1, 3, 4});  // tokens 1 and 2 alone
  CHECK((cut.chunks == 1 && cut.chunk_level == 0.25));
}

TEST_CASE("sparsity: full, empty, nothing, what is refused", "[metrics]") {
  CHECK(of(std::vector<double>(12, .5), 3, 2).token_level == 0.0);
  const Sparsity idle = of(std::vector<double>(12, 0.0), 3, 2);
  CHECK((idle.token_level == 1.0 && idle.chunk_level == 1.0));
  const Sparsity one = of({1, 1}, 1, 2);
  CHECK((one.token_level == 0.0 && one.chunk_level == 0.0));
  const Sparsity none = of({}, 3, 2);
  CHECK((none.tokens == 0 && none.token_level == 0.0 && none.chunk_level == 0.0));
  CHECK(tests::message_of<value_error>([] {
          of({1, 1}, 1, 0);
        }) == "xmoe::metrics::sparsity: chunk is 0, must be 1 or more");
  CHECK_THROWS_AS(of({1, 1}, 1, 1, {1}), shape_error);
  CHECK_THROWS_AS(of({1, 1}, 1, 1, {}, {0, 1}), shape_error);
}

TEST_CASE("sparsity: against the formulas, routing and gates alike", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    const auto c = tests::random_routing(random, tokens, experts, padded);
    std::vector<double> gates(static_cast<std::size_t>(tokens * experts), 0.0);
    std::vector<std::set<index>> active;  // of real tokens
    double zeros = 0.0;
    for (index t = 0; t < tokens; ++t) {
      std::set<index> set;
      for (const tests::Wish& wish : c.of(t)) {
        if (wish.score != 0.0) {
          set.insert(wish.expert);
          gates[static_cast<std::size_t>(t * experts + wish.expert)] = wish.score;
        }
      }
      if (c.real(t)) {
        active.push_back(set);
        zeros += static_cast<double>(experts) - static_cast<double>(set.size());
      }
    }
    const double e = static_cast<double>(experts);
    for (const index chunk : {1, 2, 5}) {
      double level = 0.0;
      const std::size_t length = static_cast<std::size_t>(chunk), chunks = active.size() / length;
      for (std::size_t i = 0; i < chunks; ++i) {
        std::set<index> joint;
        for (std::size_t j = 0; j < length; ++j) {
          joint.insert(active[i * length + j].begin(), active[i * length + j].end());
        }
        level += (1.0 - static_cast<double>(joint.size()) / e) / static_cast<double>(chunks);
      }
      const Sparsity s = metrics::sparsity(c.routing.view(), chunk, tests::in(c.valid));
      const Sparsity g = of(gates, experts, chunk, c.valid);
      CHECK(s.chunks == static_cast<index>(chunks));
      CHECK(within(s.chunk_level, level, 1e-14));
      const double all = e * static_cast<double>(active.size());
      CHECK(within(s.token_level, all > 0.0 ? zeros / all : 0.0, 1e-14));
      CHECK((g.tokens == s.tokens && g.chunks == s.chunks));
      CHECK((g.token_level == s.token_level && g.chunk_level == s.chunk_level));
    }
  });
}

}  // namespace
}  // namespace xmoe
