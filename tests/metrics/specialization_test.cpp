// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/specialization.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using metrics::LabelCounts;
using metrics::Specialization;
using tests::within;
using Counts = std::vector<index>;
using Ids = std::vector<std::int32_t>;

LabelCounts counts(const std::vector<std::vector<tests::Wish>>& wishes, index experts,
                   const Ids& label, index labels, const std::vector<std::uint8_t>& valid = {}) {
  const auto routing = tests::routing_of<double>(experts, wishes);
  return metrics::count_labels(routing.view(), tests::in(label), labels, tests::in(valid));
}

TEST_CASE("specialization: by hand", "[metrics]") {
  // label 0: experts 0, 0, 0, 1; label 1: expert 1 twice, from two tokens
  const LabelCounts c = counts({{{0, .9}, {1, .5}}, {{0, .9}}, {{1, .9}}, {{0, .5}}, {{1, .4}}}, 2,
                               {0, 0, 1, 0, 1}, 2);
  CHECK(c.tokens == Counts{3, 2});
  CHECK(c.count == Counts{3, 1, 0, 2});
  CHECK(c.share(0, 0) == 1.0);
  CHECK(c.share(0, 1) == 1.0 / 3.0);
  CHECK(c.share(1, 0) == 0.0);
  CHECK(c.shares()[3] == 1.0);
  const Specialization s = metrics::specialization(c);
  CHECK(s.marginal == std::vector<double>{0.5, 0.5});
  // P(e|0) = 3/4, 1/4; P(e|1) = 0, 1
  CHECK(within(s.divergence[0], 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-15));
  CHECK(within(s.divergence[1], std::log(2.0), 1e-15));
  CHECK(s.total_variation == std::vector<double>{0.25, 0.5});
  CHECK(within(s.information, (4.0 * s.divergence[0] + 2.0 * s.divergence[1]) / 6.0, 1e-15));
  CHECK(within(s.mean_total_variation, 1.0 / 3.0, 1e-15));
}

TEST_CASE("specialization: an expert a label, experts that do not care", "[metrics]") {
  std::vector<std::vector<tests::Wish>> own, all;
  Ids label;
  for (std::int32_t t = 0; t < 12; ++t) {
    label.push_back(t % 3);
    own.push_back({{t % 3, .5}});
    all.push_back({{0, .5}, {1, .5}, {2, .5}});
  }
  const Specialization apart = metrics::specialization(counts(own, 3, label, 3));
  CHECK(within(apart.information, std::log(3.0), 1e-15));
  CHECK(within(apart.mean_total_variation, 2.0 / 3.0, 1e-15));
  const Specialization alike = metrics::specialization(counts(all, 3, label, 3));
  CHECK(within(alike.information, 0.0, 1e-15));
  CHECK(within(alike.mean_total_variation, 0.0, 1e-15));
  const Specialization single = metrics::specialization(counts({{{0, 1}}, {{0, 1}}}, 1, {0, 1}, 2));
  CHECK((single.information == 0.0 && single.marginal == std::vector<double>{1.0}));
}

TEST_CASE("specialization: tokens that take no part, labels without tokens", "[metrics]") {
  const LabelCounts c =
      counts({{{0, .5}}, {{1, .5}}, {{1, .5}, {1, .2}}}, 2, {-1, 99, 1}, 3, {1, 0, 1});
  CHECK(c.tokens == Counts{0, 1, 0});
  CHECK(c.count == Counts{0, 0, 0, 1, 0, 0});  // an expert twice in a row is one
  const Specialization s = metrics::specialization(c);
  CHECK(s.divergence == std::vector<double>{0.0, 0.0, 0.0});
  CHECK(c.share(0, 0) == 0.0);
  const Specialization nothing = metrics::specialization(counts({}, 2, {}, 2));
  CHECK((nothing.information == 0.0 && nothing.marginal == std::vector<double>{0.0, 0.0}));
  CHECK(metrics::specialization({}).information == 0.0);
  CHECK(tests::message_of<value_error>([] {
          counts({{{0, .5}}}, 1, {3}, 3);
        }) == "xmoe::metrics::count_labels: label[0] is 3, must be below 3");
  CHECK_THROWS_AS(counts({{{0, .5}}}, 1, {}, 3), shape_error);
  CHECK_THROWS_AS(counts({{{0, .5}}}, 1, {0}, 3, {1, 1}), shape_error);
}

TEST_CASE("specialization: against the formulas; calls add up", "[metrics]") {
  tests::each_size([](auto& random, index tokens, index experts, bool padded) {
    constexpr index labels = 3;
    LabelCounts sum;
    double joint[labels][8] = {}, of_label[labels] = {}, of_expert[8] = {}, total = 0.0;
    for (index call = 0; call < 2; ++call) {
      const auto c = tests::random_routing(random, tokens, experts, padded);
      Ids label;
      for (index t = 0; t < tokens; ++t) {
        const index l = random.below(labels);
        label.push_back(static_cast<std::int32_t>(l));
        for (const index e : c.set(t)) {
          joint[l][e] += 1.0;
          of_label[l] += 1.0;
          of_expert[e] += 1.0;
          total += 1.0;
        }
      }
      sum += counts(c.wishes, experts, label, labels, c.valid);
    }
    const Specialization s = metrics::specialization(sum);
    double information = 0.0;  // sum P(l,e) ln( P(l,e) / (P(l) P(e)) )
    for (index l = 0; l < labels; ++l) {
      double variation = 0.0;
      for (index e = 0; e < experts; ++e) {
        CHECK(static_cast<double>(sum.at(l, e)) == joint[l][e]);
        if (joint[l][e] > 0.0) {
          information +=
              joint[l][e] / total * std::log(joint[l][e] * total / (of_label[l] * of_expert[e]));
        }
        if (of_label[l] > 0.0) {
          variation += 0.5 * std::abs(joint[l][e] / of_label[l] - of_expert[e] / total);
        }
      }
      CHECK(within(s.total_variation[static_cast<std::size_t>(l)], variation, 1e-14));
    }
    CHECK(within(s.information, information, 1e-13));
    CHECK(s.information > -1e-13);
    CHECK_THROWS_AS((sum += counts({}, experts, {}, labels + 1)), shape_error);
  });
}

}  // namespace
}  // namespace xmoe
