// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/weigh/normalized_by.hpp>

#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using xmoe::weigh::Normalized;
using xmoe::weigh::NormalizedBy;
using Ids = std::vector<std::int32_t>;

template <class P>
std::vector<double> score_gradient(const P& weigh, const std::vector<double>& s, const Ids& chosen,
                                   const std::vector<double>& g) {
  const std::vector<double> z(s.size(), 0.0);
  const std::vector<double> w = tests::weights_by(weigh, z, s, chosen);
  std::vector<double> ds(s.size(), 0.0), dz(s.size(), 0.0);
  weigh.row_backward(xmoe::WeighRow<double>{tests::in(z), tests::in(s), tests::in(chosen)},
                     tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(dz == std::vector<double>(s.size(), 0.0));
  return ds;
}

TEST_CASE("weights of the two best by every rule: published figures", "[router][weigh]") {
  const Ids best[] = {{1, 2}, {0, 3}, {7, 0}, {2, 6}};
  const reference::Vector raw = {.39707878, .18328840, .24005718, .22674093,
                                 .55093886, .20603758, .50503262, .45724038};
  const reference::Vector first = {.68418545, .31581455, .51426340, .48573660,
                                   .72781506, .27218494, .52483299, .47516701};
  const reference::Vector second = {.90794088, .41909827, .72698253, .68665596,
                                    .93664431, .35028194, .74131220, .67116035};
  const reference::Vector sigmoid = {.83348693, .69793218, .91750312, .91307929,
                                     .90655839, .78393612, .92395607, .91667005};
  const reference::Vector shares = {.54425789, .45574211, .50120831, .49879169,
                                    .53626817, .46373183, .50197922, .49802078};
  const auto all = [&](const auto& score, const auto& weigh) {
    const reference::Matrix table = golden::wave_logits(4, 8);
    reference::Vector weights;
    for (std::ptrdiff_t t = 0; t < 4; ++t) {
      const std::vector<double> z(table.values.begin() + t * 8, table.values.begin() + t * 8 + 8);
      const std::vector<double> s = tests::scores_of(score, z);
      CHECK(tests::chosen_by(select::TopK{2}, s) ==
            std::vector<tests::index>(best[t].begin(), best[t].end()));
      for (const double w : tests::weights_by(weigh, z, s, best[t])) {
        weights.push_back(w);
      }
    }
    return weights;
  };
  const auto same = [](const reference::Vector& got, const reference::Vector& want) {
    return tests::difference(got, want, 1e-8).close;
  };
  CHECK(same(all(score::Softmax{}, weigh::Raw{}), raw));
  CHECK(same(all(score::Softmax{}, Normalized{}), first));
  CHECK(same(all(score::Identity{}, weigh::SoftmaxPicked{}), first));
  CHECK(same(all(score::Softmax{}, NormalizedBy{.p = 1.f}), first));
  CHECK(same(all(score::Softmax{}, NormalizedBy{}), second));
  CHECK(same(all(score::Sigmoid{}, weigh::Raw{}), sigmoid));
  CHECK(same(all(score::Sigmoid{}, Normalized{}), shares));
  CHECK(same(all(score::Sigmoid{}, NormalizedBy{.p = 1.f}), shares));
  CHECK_FALSE(same(all(score::Sigmoid{}, NormalizedBy{}), shares));
  CHECK_FALSE(same(all(score::Softmax{}, NormalizedBy{.p = 1.5f}), second));
}

TEMPLATE_TEST_CASE("normalized by: the p-norm of the weights is the scale", "[router][weigh]",
                   float, double) {
  using R = TestType;
  const double eps = static_cast<double>(std::numeric_limits<R>::epsilon());
  tests::Generator random(81);
  INFO("seed 81");
  double twin = 0.0;  // how far another power's sum gets from 1
  for (int attempt = 0; attempt < 100; ++attempt) {
    const tests::index experts = 1 + random.below(40);
    const auto z = tests::narrow<R>(tests::normals(random, experts, 2.0));
    const std::vector<R> s = tests::scores_of(score::Softmax{}, z);
    Ids chosen;
    for (const tests::index e : tests::chosen_by(select::TopK{1 + random.below(experts)}, s)) {
      chosen.push_back(static_cast<std::int32_t>(e));
    }
    const auto sum = [&](const auto& weigh, double p) {
      double total = 0.0;
      for (const R w : tests::weights_by(weigh, z, s, chosen)) {
        total += std::pow(std::abs(static_cast<double>(w)), p);
      }
      return total;
    };
    const double allowed = 8 * eps * static_cast<double>(experts);
    for (const float p : {1.f, 1.5f, 2.f, 3.f, 8.f}) {
      CAPTURE(p, experts, chosen.size());
      const auto power = static_cast<double>(p);
      CHECK(tests::within(sum(NormalizedBy{.p = p}, power), 1.0, power * allowed));
      twin = std::max(twin, std::abs(sum(NormalizedBy{.p = p}, power + 0.5) - 1.0));
    }
    CHECK(tests::within(sum(Normalized{}, 1.0), 1.0, allowed));
    CHECK(tests::within(sum(weigh::SoftmaxPicked{}, 1.0), 1.0, allowed));
    CHECK(sum(weigh::Raw{}, 1.0) <= 1.0 + allowed);
    CHECK(tests::within(sum(NormalizedBy{.scale = 3.f}, 2.0), 9.0, 18.0 * allowed));
  }
  CHECK(twin > 0.1);
}

TEMPLATE_TEST_CASE("normalized by: signs, the guard and far ends", "[router][weigh]", float,
                   double) {
  using R = TestType;
  const std::vector<R> z(3, R(0));
  const auto weights = [&](const NormalizedBy& weigh, const std::vector<R>& s, const Ids& chosen) {
    return tests::weights_by<R>(weigh, z, s, chosen);
  };
  CHECK(weights({}, {3, 9, -4}, {0, 2}) == std::vector<R>{R(0.6), R(-0.8)});
  CHECK(weights({.p = 1.f}, {3, 9, -1}, {0, 2}) == std::vector<R>{R(0.75), R(-0.25)});
  CHECK(weights({}, {5, 0, 0}, {0}) == std::vector<R>{1});
  CHECK(weights({}, {5, 0, 0}, {}).empty());
  CHECK(weights({}, {0, 0, 0}, {0, 1}) == std::vector<R>{0, 0});  // chosen zeros of Relu, Sparsemax
  CHECK(weights({.p = 3.5f}, {0, 0, 0}, {0, 1}) == std::vector<R>{0, 0});
  CHECK(weights({.eps = 0.5f}, {R(0.25), 0, 0}, {0, 1}) == std::vector<R>{R(0.5), 0});
  const R large = std::numeric_limits<R>::max() / R(4), small = R(1e-10);
  for (const float p : {1.f, 2.f, 4.f}) {  // no power leaves the range
    const R share = std::pow(R(0.5), R(1) / static_cast<R>(p));
    for (const R v : {large, small}) {
      for (const R w : weights({.p = p}, {v, v, 0}, {0, 1})) {
        CHECK(std::abs(w - share) < R(4) * std::numeric_limits<R>::epsilon());
      }
    }
  }
  for (const R w : weights({}, {std::numeric_limits<R>::quiet_NaN(), 1, 0}, {0, 1})) {
    CHECK(xmoe::is_nan(w));
  }
}

TEST_CASE("normalized by: gradients, by differences and by hand", "[router][weigh]") {
  tests::Generator random(82);
  INFO("seed 82");
  const Ids chosen = {2, 0, 4};
  for (const float p : {1.f, 1.5f, 2.f, 3.f, 8.f}) {
    for (int attempt = 0; attempt < 10; ++attempt) {
      std::vector<double> s = tests::normals(random, 6);
      for (double& v : s) {
        v += v < 0.0 ? -0.2 : 0.2;  // |s| has a kink at 0
      }
      const std::vector<double> g = tests::normals(random, 3), z(6, 0.0);
      const NormalizedBy weigh{.p = p, .scale = 1.5f};
      const auto objective = [&] {
        const std::vector<double> w = tests::weights_by(weigh, z, s, chosen);
        return g[0] * w[0] + g[1] * w[1] + g[2] * w[2];
      };
      const reference::Vector want = tests::slopes(objective, s);
      CAPTURE(p, attempt);
      CHECK(tests::relative_error(score_gradient(weigh, s, chosen, g), want) < 1e-6);
      const NormalizedBy other{.p = p + 0.5f, .scale = 1.5f};
      CHECK(tests::relative_error(score_gradient(other, s, chosen, g), want) > 1e-6);
    }
  }
  // w_0 = s_0 / |s|: dw_0/ds_0 = s_1^2 / |s|^3, dw_0/ds_1 = -s_0 s_1 / |s|^3
  CHECK(tests::relative_error(score_gradient(NormalizedBy{}, {3.0, 4.0}, {0, 1}, {1.0, 0.0}),
                              {16.0 / 125.0, -12.0 / 125.0}) < 1e-15);
  // below the guard a constant divides
  CHECK(tests::relative_error(
            score_gradient(NormalizedBy{.eps = 0.5f}, {0.1, 0.2}, {0, 1}, {1.0, -3.0}),
            {2.0, -6.0}) < 1e-15);
  CHECK(tests::magnitude(score_gradient(NormalizedBy{}, {0.5, 0.1}, {0}, {3.0})) < 1e-15);
}

TEST_CASE("normalized by: impossible hyper-parameters", "[router][weigh]") {
  for (const NormalizedBy& bad : {NormalizedBy{.p = 0.5f}, NormalizedBy{.p = std::nanf("")},
                                  NormalizedBy{.p = std::numeric_limits<float>::infinity()},
                                  NormalizedBy{.eps = 0.f}, NormalizedBy{.eps = std::nanf("")}}) {
    CHECK_THAT(tests::message_of<value_error>([&] { bad.check({}); }),
               Catch::Contains("xmoe::weigh::NormalizedBy: p is "));
  }
  CHECK_NOTHROW(NormalizedBy{}.check({}));
}

}  // namespace
}  // namespace xmoe
