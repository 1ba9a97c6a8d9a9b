// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/relative_to_best.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Choices;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::RelativeToBest;

TEST_CASE("relative to best: figures", "[router][select]") {
  CHECK(wave::choices(RelativeToBest{0.5f}, wave::softmax) ==
        Choices{{1}, {0, 3, 5, 1}, {7}, {2, 6}});
  CHECK(wave::choices(RelativeToBest{0.9f}, wave::softmax) == Choices{{1}, {0, 3}, {7}, {2, 6}});
  const Ids all = {0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(wave::sorted(wave::choices(RelativeToBest{0.5f}, wave::norms)) ==
        Choices{{1, 4, 5}, all, {0, 1, 3, 6, 7}, all});
}

TEMPLATE_TEST_CASE("relative to best: the ends", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> s = {2, 4, 1, 4};
  CHECK(chosen_by(RelativeToBest{1.f}, s) == Ids{1, 3});      // equals
  CHECK(chosen_by(RelativeToBest{0.5f}, s) == Ids{1, 3, 0});  // inclusive
  CHECK(chosen_by(RelativeToBest{0.51f}, s) == Ids{1, 3});
  CHECK(chosen_by(RelativeToBest{0.f}, s) == Ids{1, 3, 0, 2});
  CHECK(chosen_by(RelativeToBest{0.f, 3}, s) == Ids{1, 3, 0});
  CHECK(chosen_by(RelativeToBest{1.f, 0, 3}, s) == Ids{1, 3, 0});
  CHECK(chosen_by<R>(RelativeToBest{0.5f}, {-4, -2, -3}) == Ids{1});  // the first always
  CHECK(chosen_by<R>(RelativeToBest{0.5f}, {0, 0}) == Ids{0, 1});
  CHECK(chosen_by<R>(RelativeToBest{0.5f}, {std::numeric_limits<R>::quiet_NaN(), 3}) == Ids{1});
}

TEST_CASE("relative to best: a bias ends the prefix at whoever fails", "[router][select]") {
  auto own = Biased<RelativeToBest>{}.make_weights<xmoe::Cpu<double>>({1, 4, 1});
  own.bias.load(std::vector<double>{0, 0, 9, 0});
  const wave::Row s = {2, 4, 1, 4};
  CHECK(chosen_by(Biased<RelativeToBest>{{0.5f}}, s, own) == Ids{2, 1, 3, 0});  // all >= 0.5
  own.bias.load(std::vector<double>{0, 1, 4, 0});
  CHECK(chosen_by(Biased<RelativeToBest>{{0.5f}}, s, own) == Ids{1});  // 2 comes next, and fails
}

TEST_CASE("relative to best: shrinks with the ratio; a constant added to logits changes nothing",
          "[router][select]") {
  tests::Generator random(22);
  int moved = 0;
  for (int i = 0; i < 200; ++i) {
    const index experts = 1 + random.below(40);
    wave::Row z = tests::normals(random, experts);
    const auto low = static_cast<float>(random.uniform());
    const auto high = low + (1.f - low) * static_cast<float>(random.uniform());
    const auto pick = [&](float ratio, const auto& score) {
      return chosen_by(RelativeToBest{ratio}, tests::scores_of(score, z));
    };
    const Ids many = pick(low, score::Softmax{});
    const Ids few = pick(high, score::Softmax{});
    const Ids other = pick(low, score::Sigmoid{});
    INFO("case " << i << ", ratios " << low << ", " << high);
    REQUIRE(few.size() <= many.size());
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
    for (double& v : z) {
      v += 1.75;
    }
    CHECK(pick(low, score::Softmax{}) == many);
    moved += pick(low, score::Sigmoid{}) != other ? 1 : 0;
  }
  CHECK(moved > 0);
}

TEST_CASE("relative to best: errors", "[router][select]") {
  const auto text = [](RelativeToBest select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({1.5f}) == "xmoe::select::RelativeToBest: ratio is 1.5, must be in 0 .. 1");
  CHECK(!text({-0.1f}).empty());
  CHECK(!text({std::nanf("")}).empty());
  CHECK(!text({0.5f, 1, 2}).empty());
  CHECK(text({}).empty());
  CHECK(RelativeToBest{0.5f, 3}.max_assignments(2, 8) == 6);
}

}  // namespace
}  // namespace xmoe
