// SPDX-License-Identifier: Apache-2.0
#include <xmoe/core/order.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random_case.hpp"

namespace {

using namespace xmoe;
using xmoe::index;

template <class R>
std::int64_t code(R value) {
  return order_code(SelectionKey<R>{value});
}

/// Experts by falling score, ties by rising index, NaN last; by the standard library.
template <class R>
std::vector<std::int32_t> sorted(const std::vector<R>& scores) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const R x = scores[static_cast<std::size_t>(a)];
    const R y = scores[static_cast<std::size_t>(b)];
    return x == x && (y != y || x > y);
  });
  order.erase(std::remove_if(order.begin(), order.end(),
                             [&](std::int32_t e) {
                               return scores[static_cast<std::size_t>(e)] ==
                                      -std::numeric_limits<R>::infinity();
                             }),
              order.end());
  return order;
}

template <class R>
std::vector<std::int32_t> handed_out(const std::vector<R>& scores) {
  std::vector<Candidate<R>> candidates;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    candidates.push_back(Candidate<R>::make({scores[e]}, static_cast<xmoe::index>(e)));
  }
  Descending<R> next({candidates.data(), static_cast<xmoe::index>(candidates.size())});
  std::vector<std::int32_t> order;
  for (std::int32_t expert = -1; next.next(expert);) {
    order.push_back(expert);
  }
  return order;
}

TEMPLATE_TEST_CASE("the order is total", "[core][order]", float, double) {
  using R = TestType;
  using limits = std::numeric_limits<R>;
  const std::vector<R> rising = {
      -limits::infinity(),  limits::lowest(), R(-1), -limits::min(), -limits::denorm_min(), R(0),
      limits::denorm_min(), limits::min(),    R(1),  limits::max(),  limits::infinity()};
  for (std::size_t i = 1; i < rising.size(); ++i) {
    INFO(rising[i]);
    CHECK(code(rising[i - 1]) < code(rising[i]));
  }
  CHECK(code(R(0)) == code(R(-0.0)));
  for (const R nan : {limits::quiet_NaN(), -limits::quiet_NaN(), limits::signaling_NaN()}) {
    CHECK(code(nan) < code(-limits::infinity()));
    CHECK(code(nan) == code(limits::quiet_NaN()));
  }
}

TEMPLATE_TEST_CASE("among equals the lower index comes first", "[core][order]", float, double) {
  using R = TestType;
  using C = Candidate<R>;
  CHECK(C::make({R(0.5)}, 4) < C::make({R(0.5)}, 3));
  CHECK_FALSE(C::make({R(0.5)}, 3) < C::make({R(0.5)}, 4));
  CHECK_FALSE(C::make({R(0.5)}, 3) < C::make({R(0.5)}, 3));
  CHECK(C::make({R(-0.0)}, 1) < C::make({R(0)}, 0));
  CHECK(C::make({R(0)}, 1) < C::make({R(-0.0)}, 0));
  CHECK(C::make({R(0.25)}, 0) < C::make({R(0.5)}, 9));
  CHECK(C::make({R(-2)}, 0) < C::make({R(-1)}, 9));
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(C::make({nan}, 1) < C::make({nan}, 0));
}

TEMPLATE_TEST_CASE("a candidate keeps its expert", "[core][order]", float, double) {
  using R = TestType;
  for (const xmoe::index expert : {0, 1, 513, 65536, 0x7fffffff}) {
    for (const R score : {R(0), R(-3), R(7), std::numeric_limits<R>::infinity(),
                          std::numeric_limits<R>::quiet_NaN()}) {
      CHECK(Candidate<R>::make({score}, expert).expert() == expert);
    }
  }
}

TEMPLATE_TEST_CASE("candidates come out best first, each once", "[core][order]", float, double) {
  using R = TestType;
  tests::Generator random(11);
  for (const xmoe::index experts : {1, 2, 3, 7, 15, 16, 17, 18, 33, 60, 160, 513}) {
    for (const xmoe::index levels : {1, 2, 5, 1000000}) {  // few levels: many ties
      INFO(experts << " experts, " << levels << " levels");
      std::vector<R> scores;
      for (xmoe::index e = 0; e < experts; ++e) {
        scores.push_back(static_cast<R>(random.below(levels)) - R(levels) / 2);
      }
      CHECK(handed_out(scores) == sorted(scores));
      scores[static_cast<std::size_t>(experts / 2)] = std::numeric_limits<R>::quiet_NaN();
      scores[static_cast<std::size_t>(experts / 3)] = -std::numeric_limits<R>::infinity();
      CHECK(handed_out(scores) == sorted(scores));
    }
  }
  // -Inf is not handed out, NaN is, at the end
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  CHECK(handed_out<R>({-inf, nan, R(-7), -inf, inf}) == std::vector<std::int32_t>{4, 2, 1});
  CHECK(handed_out<R>({-inf, -inf}).empty());
  // the comparison notices a swap
  std::vector<R> scores = {R(1), R(2), R(2)};
  CHECK(handed_out(scores) == std::vector<std::int32_t>{1, 2, 0});
  CHECK(handed_out(scores) != std::vector<std::int32_t>{2, 1, 0});
}

TEST_CASE("a selection key is not a number", "[core][order]") {
  static_assert(!std::is_convertible_v<SelectionKey<float>, float>);
  static_assert(!std::is_constructible_v<float, SelectionKey<float>>);
  CHECK_FALSE(std::is_convertible_v<SelectionKey<double>, double>);
}

}  // namespace
