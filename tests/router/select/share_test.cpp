// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/share.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Choices;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Share;

TEST_CASE("share: figures for norms", "[router][select]") {
  CHECK(wave::choices(Share{0.5f}, wave::norms) ==
        Choices{{4, 5}, {2, 0, 3, 5}, {6, 7, 3}, {7, 2, 4, 6}});
  CHECK(wave::choices(Share{0.8f}, wave::norms) ==
        Choices{{4, 5, 1, 2}, {2, 0, 3, 5, 1, 4}, {6, 7, 3, 1, 0}, {7, 2, 4, 6, 1, 0}});
}

TEMPLATE_TEST_CASE("share: of what there is", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> s = {2, 4, 1, 1};       // sums of 8
  CHECK(chosen_by(Share{0.5f}, s) == Ids{1});  // 4 before the second: not less than half of 8
  CHECK(chosen_by(Share{0.51f}, s) == Ids{1, 0});
  CHECK(chosen_by(Share{0.9f}, s) == Ids{1, 0, 2, 3});
  CHECK(chosen_by(Share{0.9f, 3}, s) == Ids{1, 0, 2});
  CHECK(chosen_by(Share{0.f, 0, 2}, s) == Ids{1, 0});
  CHECK(chosen_by(Share{-1.f}, s) == Ids{1});
  CHECK(chosen_by(Share{2.f}, s) == Ids{1, 0, 2, 3});
  CHECK(chosen_by<R>(Share{1.f}, {0, 3, 0, 5}) == Ids{3, 1});  // no tail of zeros
  CHECK(chosen_by<R>(Share{1.f}, {0, 0, 0}) == Ids{0});        // sum 0: the first alone
  CHECK(chosen_by<R>(Share{0.9f}, {R(0.5)}) == Ids{0});
  CHECK(chosen_by<R>(Share{0.6f}, {-9, 4, -9, 4}) == Ids{1, 3});  // negative: as 0, the sum is 8
}

TEMPLATE_TEST_CASE("share: experts that may not be chosen have no share", "[router][select]", float,
                   double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const std::vector<R> s = {2, 4, 1, 1};
  CHECK(tests::chosen_from<R>(Share{0.5f}, {0, -inf, 0, 0}, s, {}) == Ids{0});  // 2 of 4
  CHECK(chosen_by<R>(Share{0.5f}, {2, -inf, 1, 1}) == Ids{0});
  auto own = Biased<Share>{}.make_weights<xmoe::Cpu<R>>({1, 4, 1});
  own.bias.load(std::vector<R>{0, -9, 0, 0});
  CHECK(chosen_by(Biased<Share>{{0.6f}}, s, own) == Ids{0, 2, 3, 1});  // 4.8 only with the last
}

TEST_CASE("share: grows with the share, within the room, as a threshold of shares",
          "[router][select]") {
  tests::Generator random(21);
  for (const index experts : {1, 2, 7, 64}) {
    for (int i = 0; i < 50; ++i) {
      wave::Row s = tests::normals(random, experts);
      double sum = 0.0;
      for (double& v : s) {
        v = std::abs(v);
        sum += v;
      }
      wave::Row p = s;
      for (double& v : p) {
        v /= sum;
      }
      const auto low = static_cast<float>(random.uniform());
      const auto high = low + (1.f - low) * static_cast<float>(random.uniform());
      const Ids few = chosen_by(Share{low}, s);
      const Ids many = chosen_by(Share{high}, s);
      INFO(experts << " experts, case " << i << ", shares " << low << ", " << high);
      REQUIRE(few.size() <= many.size());
      CHECK(std::equal(few.begin(), few.end(), many.begin()));
      CHECK(few == chosen_by(xmoe::select::Threshold{low}, p));
    }
  }
  CHECK(Share{0.5f}.max_assignments(3, 64) == 3 * 34);
  CHECK(Share{0.5f}.max_assignments_in_any_order(3, 64) == 3 * 64);
  CHECK(Share{0.f, 0, 5}.max_assignments(3, 64) == 15);
}

TEST_CASE("share: errors", "[router][select]") {
  const auto text = [](Share select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({std::nanf("")}).find("xmoe::select::Share: share is nan") == 0);
  CHECK(text({0.5f, 2, 3}) ==
        "xmoe::select::Share: min_experts is 3, max_experts is 2; need 1 <= min_experts <= "
        "max_experts, or max_experts 0");
  CHECK(!text({0.5f, -1}).empty());
  CHECK(!text({0.5f, 0, 0}).empty());
  CHECK(text({0.5f, 0, 3}).empty());
  CHECK(text({}).empty());
}

}  // namespace
}  // namespace xmoe
