// SPDX-License-Identifier: Apache-2.0
#include <xmoe/dispatch/priority.hpp>

#include <algorithm>
#include <vector>

#include "support/catch.hpp"

namespace xmoe {
namespace {

using priority::Claim;

/// Score, random number, assignment, rank, score of the first choice.
const std::vector<Claim>& claims() {
  static const std::vector<Claim> all = {{30, 7, 0, 1, 60}, {20, 7, 1, 0, 20}, {50, 1, 2, 1, 70},
                                         {20, 9, 3, 0, 20}, {40, 1, 4, 0, 40}, {50, 0, 5, 2, 99}};
  return all;
}
template <class P>
std::vector<index> served() {
  std::vector<Claim> queue = claims();
  std::sort(queue.begin(), queue.end(), P::before);
  std::vector<index> order;
  for (const Claim& claim : queue) {
    order.push_back(claim.assignment);
  }
  return order;
}

TEST_CASE("priority: the orders", "[dispatch]") {
  CHECK(served<priority::RankThenProbability>() == std::vector<index>{4, 1, 3, 2, 0, 5});
  CHECK(served<priority::RankThenToken>() == std::vector<index>{1, 3, 4, 0, 2, 5});
  CHECK(served<priority::Probability>() == std::vector<index>{2, 5, 4, 0, 1, 3});
  CHECK(served<priority::Random>() == std::vector<index>{5, 2, 4, 0, 1, 3});
  CHECK(served<priority::FirstToken>() == std::vector<index>{0, 1, 2, 3, 4, 5});
  CHECK(served<priority::LastToken>() == std::vector<index>{5, 4, 3, 2, 1, 0});
  CHECK(served<priority::BestTokenFirst>() == std::vector<index>{4, 1, 3, 2, 0, 5});
}

TEMPLATE_TEST_CASE("priority: a strict total order", "[dispatch]", priority::RankThenProbability,
                   priority::RankThenToken, priority::Probability, priority::Random,
                   priority::FirstToken, priority::LastToken, priority::BestTokenFirst) {
  for (const Claim& a : claims()) {
    CHECK_FALSE(TestType::before(a, a));
    for (const Claim& b : claims()) {
      CHECK((a.assignment == b.assignment || TestType::before(a, b) != TestType::before(b, a)));
      for (const Claim& c : claims()) {
        CHECK((!(TestType::before(a, b) && TestType::before(b, c)) || TestType::before(a, c)));
      }
    }
  }
}

TEST_CASE("priority: only one draws", "[dispatch]") {
  CHECK(priority::Random::draws);
  CHECK_FALSE(priority::RankThenProbability::draws);
  CHECK_FALSE(priority::RankThenToken::draws);
  CHECK_FALSE(priority::Probability::draws);
}

}  // namespace
}  // namespace xmoe
