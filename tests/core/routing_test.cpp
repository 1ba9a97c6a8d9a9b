// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/routing.hpp>

#include <algorithm>
#include <limits>

#include "support/catch.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

const std::vector<index> offsets = {0, 2, 2, 3};
const std::vector<std::int32_t> expert = {1, 0, 3};
const std::vector<float> weight = {0.75f, 0.25f, 1.f};

std::span<const index> part(const std::vector<index>& v) { return v; }

TEST_CASE("a routing from outside is copied", "[core][routing]") {
  const auto r = Routing<float>::from(4, offsets, expert, weight);
  CHECK(r.tokens() == 3);
  CHECK(r.experts() == 4);
  CHECK(r.assignments() == 3);
  CHECK(r.expert()[2] == 3);
  CHECK(r.weight()[0] == 0.75f);
  CHECK(r.expert().data() != expert.data());
  const RoutingView<float> v = r.view();
  CHECK(v.tokens == 3);
  CHECK(v.experts == 4);
  CHECK(v.valid_tokens == 3);
  CHECK(v.assignments() == 3);
  CHECK(v.begin(0) == 0);
  CHECK(v.end(0) == 2);
  CHECK(v.begin(1) == v.end(1));
  const auto copy = Routing<float>::copy(v);
  CHECK(std::ranges::equal(copy.expert(), r.expert()));
  CHECK(std::ranges::equal(copy.weight(), r.weight()));
  CHECK(std::ranges::equal(copy.score(), r.score()));
  CHECK(copy.view().expert != v.expert);
}

TEST_CASE("an empty routing is a routing", "[core][routing]") {
  CHECK(Routing<float>().tokens() == 0);
  CHECK(Routing<float>().assignments() == 0);
  const std::vector<index> none = {0};
  const auto r = Routing<float>::from(4, part(none), {}, {});
  CHECK(r.tokens() == 0);
  CHECK(r.view().assignments() == 0);
}

TEST_CASE("the same expert twice in a row is legal", "[core][routing]") {
  const std::vector<std::int32_t> twice = {1, 1, 3};
  const auto doubled = Routing<float>::from(4, offsets, twice, weight);
  CHECK(doubled.expert()[1] == 1);
}

TEST_CASE("a wrong routing is refused, with the first wrong entry", "[core][routing]") {
  const auto from = [](const std::vector<index>& o, const std::vector<std::int32_t>& e,
                       const std::vector<float>& w) { return Routing<float>::from(4, o, e, w); };
  CHECK_THROWS_AS(from({}, expert, weight), shape_error);
  CHECK_THROWS_AS(from({1, 2, 2, 3}, expert, weight), shape_error);
  CHECK_THROWS_WITH(from({0, 2, 1, 3}, expert, weight),
                    "xmoe::Routing::from: offsets fall from 2 to 1 at token 1");
  CHECK_THROWS_WITH(from({0, 2, 2, 4}, expert, weight),
                    "xmoe::Routing::from: offsets end at 4, but there are 3 experts and 3 weights");
  CHECK_THROWS_AS(from(offsets, {1, 0}, weight), shape_error);
  CHECK_THROWS_AS(from(offsets, expert, {1.f, 1.f}), shape_error);
  CHECK_THROWS_AS(from(offsets, {1, 4, 0}, weight), value_error);
  CHECK_THROWS_WITH(from(offsets, {1, 4, 0}, weight),
                    "xmoe::Routing::from: expert[1] is 4, must be in 0 .. 3");
  CHECK_THROWS_WITH(from(offsets, {1, 0, -1}, weight),
                    "xmoe::Routing::from: expert[2] is -1, must be in 0 .. 3");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    CHECK_THROWS_AS(from(offsets, expert, {1.f, bad, 1.f}), value_error);
    CHECK_THROWS_WITH(from(offsets, expert, {1.f, bad, 1.f}),
                      "xmoe::Routing::from: weight[1] is not finite");
  }
}

TEST_CASE("a routing without checks takes anything", "[core][routing]") {
  const std::vector<std::int32_t> wild = {1, 99, 0};
  const auto trusted = Routing<float>::unchecked(4, offsets, wild, weight);
  CHECK(trusted.expert()[1] == 99);
}

TEST_CASE("measuring a routing takes what the routing takes", "[core][routing]") {
  Workspace measure = Workspace::measure();
  const auto counted = RoutingView<float>::take(measure, 9, 4, 18);
  CHECK(counted.offsets == nullptr);
  CHECK(counted.assignments() == 18);  // the worst case
  Workspace memory(measure.peak());
  auto taken = RoutingView<float>::take(memory, 9, 4, 18);
  CHECK(taken.capacity == 18);
  taken.offsets[9] = 11;
  CHECK(taken.assignments() == 11);
}

}  // namespace
