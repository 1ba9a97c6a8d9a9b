// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/score/blend.hpp>
#include <xmoe/router/score/sigmoid.hpp>

#include "router/score/score_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using xmoe::score::Blend;
using xmoe::score::Sigmoid;
using xmoe::score::Softmax;

TEST_CASE("blend: published figures", "[router][score]") {
  struct Figure {
    tests::index token;
    std::size_t expert;
    double score;
  };
  for (const Figure& f : {Figure{2, 7, .38878923}, Figure{3, 2, .36801082}, Figure{3, 6, .34320395},
                          Figure{0, 1, .30272526}, Figure{1, 0, .23471648}, Figure{1, 3, .22750537},
                          Figure{2, 0, .20101081}, Figure{1, 5, .19306067}}) {
    const std::vector<double> z = tests::wave_row(f.token);
    CAPTURE(f.token, f.expert, f.score);
    CHECK(tests::within(tests::scores_of(Blend{}, z)[f.expert], f.score, 1e-8));
    CHECK_FALSE(tests::within(tests::scores_of(Blend{0.4f}, z)[f.expert], f.score, 1e-4));
    CHECK_FALSE(tests::within(tests::scores_of(Softmax{}, z)[f.expert], f.score, 1e-4));
  }
}

TEMPLATE_TEST_CASE("blend: both parts", "[router][score]", float, double) {
  using R = TestType;
  tests::each_random_row<R>(61, [&](const std::vector<R>& z) {
    const auto n = static_cast<tests::index>(z.size());
    const reference::Vector p = tests::wide(tests::scores_of(Softmax{}, z));
    const reference::Vector q = tests::wide(tests::scores_of(Sigmoid{}, z));
    for (const double share : {0.0, 0.25, 1.0}) {
      reference::Vector want;
      for (std::size_t e = 0; e < z.size(); ++e) {
        want.push_back((1.0 - share) * p[e] + share * 2.0 / static_cast<double>(n) * q[e]);
      }
      tests::check_close<R>(
          "scores", tests::wide(tests::scores_of(Blend{static_cast<float>(share)}, z)), want, 4);
    }
  });
  CHECK(tests::same_bits(tests::scores_of<R>(Blend{0.f}, {1, 2, R(-0.5)}),
                         tests::scores_of<R>(Softmax{}, {1, 2, R(-0.5)})));
  // not probabilities: 2/E sum of sigmoids lies anywhere in (0, 2)
  const auto sum = [](const std::vector<R>& s) { return s[0] + s[1] + s[2] + s[3]; };
  CHECK(sum(tests::scores_of<R>(Blend{}, {9, 9, 9, 9})) > R(1.4));
  CHECK(sum(tests::scores_of<R>(Blend{}, {-9, -9, -9, -9})) < R(0.6));
  STATIC_REQUIRE_FALSE(Blend::probabilities);
}

TEMPLATE_TEST_CASE("blend: masked and broken rows", "[router][score]", float, double) {
  for (const float share : {0.f, 0.5f, 1.f}) {
    tests::check_masked<TestType>(Blend{share});
    tests::check_broken<TestType>(Blend{share});
  }
}

TEST_CASE("blend: gradients", "[router][score]") {
  for (const float share : {0.f, 0.25f, 0.999f, 1.f}) {
    INFO("share " << share);
    tests::check_score_gradients(
        Blend{share}, [](const auto&) { return true; },
        [](auto& dz, const auto& s) {
          for (std::size_t e = 0; e < dz.size(); ++e) {
            dz[e] += 0.1 * s[e];
          }
        });
  }
  CHECK(tests::ignores_shift(Blend{0.f}));
  CHECK_FALSE(tests::ignores_shift(Blend{}));
}

TEST_CASE("blend: impossible hyper-parameters", "[router][score]") {
  for (const float share : {-0.1f, 1.1f, std::nanf("")}) {
    CHECK_THAT(tests::message_of<value_error>([&] { Blend{share}.check({}); }),
               Catch::Contains("xmoe::score::Blend: share is "));
  }
  CHECK_NOTHROW(Blend{}.check({}));
}

}  // namespace
}  // namespace xmoe
