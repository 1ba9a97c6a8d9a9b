// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/level.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Level;

TEST_CASE("level: positive logits of the figures", "[router][select]") {
  const auto active = wave::choices(Level{}, wave::logits);
  const std::size_t counts[] = {5, 6, 3, 2};
  for (std::size_t t = 0; t < 4; ++t) {
    CHECK(active[t].size() == counts[t]);
  }
  CHECK(wave::sorted(active[0]) == Ids{1, 2, 3, 6, 7});
  CHECK(active[3] == Ids{2, 6});
}

TEMPLATE_TEST_CASE("level: strictly above, perhaps nobody", "[router][select]", float, double) {
  using R = TestType;
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const std::vector<R> s = {R(0.5), 2, R(0.5), 1};
  CHECK(chosen_by(Level{0.5f}, s) == Ids{1, 3});  // 0.5 does not pass
  CHECK(chosen_by(Level{0.25f}, s) == Ids{1, 3, 0, 2});
  CHECK(chosen_by(Level{0.25f, 3}, s) == Ids{1, 3, 0});
  CHECK(chosen_by(Level{2.f}, s).empty());
  CHECK(chosen_by(Level{2.f, 0, 1}, s) == Ids{1});
  CHECK(chosen_by(Level{0.5f, 0, 1}, s) == Ids{1, 3});
  CHECK(chosen_by<R>(Level{}, {0, -R(0), 0}).empty());
  CHECK(chosen_by<R>(Level{}, {nan, 1, nan}) == Ids{1});
  CHECK(chosen_by<R>(Level{0.f, 0, 1}, {nan, nan}) == Ids{0});
  CHECK(chosen_by<R>(Level{-1.f}, {0, 0}) == Ids{0, 1});
}

TEMPLATE_TEST_CASE("level: a bias orders those that pass", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> s = {R(0.5), 2, R(0.5), 1};
  auto own = Biased<Level>{}.make_weights<xmoe::Cpu<R>>({1, 4, 1});
  own.bias.load(std::vector<R>{9, 0, 0, 5});
  CHECK(chosen_by(Biased<Level>{{0.5f}}, s, own) == Ids{3, 1});  // 0 leads, and does not pass
  CHECK(chosen_by(Biased<Level>{{0.5f, 1}}, s, own) == Ids{3});
  CHECK(chosen_by(Biased<Level>{{2.f}}, s, own).empty());
  CHECK(chosen_by(Biased<Level>{{2.f, 0, 1}}, s, own) == Ids{0});  // the best key
}

TEMPLATE_TEST_CASE("level: a masked expert does not pass", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const std::vector<R> z = {0, -inf, 0, 0}, s = {R(0.5), 2, R(0.5), 1};
  CHECK(tests::chosen_from<R>(Level{0.75f}, z, s, {}) == Ids{3});
  CHECK(tests::chosen_from<R>(Level{1.5f}, z, s, {}).empty());
  CHECK(tests::chosen_from<R>(Level{1.5f, 0, 1}, z, s, {}) == Ids{3});
  CHECK(tests::chosen_from<R>(Level{1.5f, 0, 1}, {0, 0, 0, 0}, s, {}) == Ids{1});
}

TEST_CASE("level: against counting, and nested", "[router][select]") {
  tests::Generator random(23);
  for (int i = 0; i < 200; ++i) {
    const index experts = 1 + random.below(60);
    const wave::Row s = tests::normals(random, experts);
    const auto low = static_cast<float>(random.uniform() - 0.5);
    const Ids many = chosen_by(Level{low}, s);
    const Ids few = chosen_by(Level{low + 0.25f}, s);
    INFO("case " << i << ", " << experts << " experts, level " << low);
    CHECK(static_cast<index>(many.size()) ==
          std::count_if(s.begin(), s.end(), [&](double v) { return v > double{low}; }));
    REQUIRE(few.size() <= many.size());
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
  }
}

TEST_CASE("level: errors", "[router][select]") {
  const auto text = [](Level select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({0.f, 0, 2}) ==
        "xmoe::select::Level: level is 0, min_experts is 2; need a number, and 0 or 1");
  CHECK(!text({std::nanf("")}).empty());
  CHECK(!text({0.f, -1}).empty());
  CHECK(!text({0.f, 0, -1}).empty());
  CHECK(text({0.f, 1, 1}).empty());
  CHECK(Level{0.f, 3}.max_assignments(2, 8) == 6);
}

}  // namespace
}  // namespace xmoe
