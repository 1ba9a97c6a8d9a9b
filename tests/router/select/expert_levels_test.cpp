// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/expert_levels.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using wave::Ids;
using xmoe::select::ExpertLevels;

template <class R>
auto weights(const std::vector<R>& levels) {
  auto own = ExpertLevels{}.make_weights<xmoe::Cpu<R>>({1, static_cast<index>(levels.size()), 1});
  own.level.load(levels);
  return own;
}

TEST_CASE("expert levels: figures, training and inference", "[router][select]") {
  // Cosines of x with the keys (1,0) (.6,.8) (0,-1), through a sigmoid; levels sigmoid(g).
  const double x[3][2] = {{1, .5}, {-.3, .8}, {-1, -1}}, keys[3][2] = {{1, 0}, {.6, .8}, {0, -1}};
  const auto own = weights<double>({.59868766, .64565631, .47502081});
  const RowSite training{0, 0, Mode::train, {}}, inference{};
  wave::Choices trained, inferred;
  for (const auto& v : x) {
    wave::Row cosines;
    for (const auto& key : keys) {
      cosines.push_back((v[0] * key[0] + v[1] * key[1]) / std::hypot(v[0], v[1]));
    }
    const wave::Row s = tests::scores_of(score::Sigmoid{}, cosines);
    trained.push_back(wave::sorted(tests::chosen_from(ExpertLevels{}, {}, s, training, own)));
    inferred.push_back(wave::sorted(tests::chosen_from(ExpertLevels{}, {}, s, inference, own)));
  }
  CHECK(trained == wave::Choices{{0, 1}, {}, {2}});
  CHECK(inferred == wave::Choices{{0, 1}, {1}, {2}});
}

TEMPLATE_TEST_CASE("expert levels: everybody for himself", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> s = {1, 4, 2, 3};
  const auto own = weights<R>({0, 5, 2, 1});
  CHECK(tests::chosen_by(ExpertLevels{}, s, own) == Ids{3, 0});  // by score, not by distance
  CHECK(tests::chosen_by(ExpertLevels{0.f, 1}, s, own) == Ids{3});
  const auto high = weights<R>({9, 9, 2, 9});
  CHECK(tests::chosen_by(ExpertLevels{}, s, high) == Ids{1});  // the best score, far from its level
  CHECK(tests::chosen_by(ExpertLevels{0.f, 0, 0}, s, high).empty());
  const R inf = std::numeric_limits<R>::infinity();
  CHECK(tests::chosen_from<R>(ExpertLevels{}, {0, 0, 0, -inf}, s, {}, own) == Ids{0});
}

TEST_CASE("expert levels: one remembered tensor, that starts somewhere", "[router][select]") {
  ExpertLevels select{0.25f};
  auto own = select.make_weights<xmoe::Cpu<float>>({16, 5, 8});
  select.initialize<xmoe::Cpu<float>>(own, Random{});
  xmoe::Parameters list;
  xmoe::detail::append(list, "select.", own);
  REQUIRE(list.size() == 1);
  CHECK(list[0].name == "select.level");
  CHECK(list[0].role == xmoe::Role::remembered);
  CHECK(list[0].size() == 5);
  CHECK(own.level.at(0, 4) == 0.25f);
  // A bias around it keeps both.
  using Both = xmoe::select::Biased<ExpertLevels>;
  auto both = Both{}.make_weights<xmoe::Cpu<float>>({1, 3, 1});
  Both{}.initialize<xmoe::Cpu<float>>(both, Random{});
  CHECK(both.inner.level.at(0, 0) == 0.5f);
  list.clear();
  xmoe::detail::append(list, "", both);
  REQUIRE(list.size() == 2);
  CHECK(list[0].name == "bias");
  CHECK(list[1].name == "inner.level");
  CHECK(list[1].role == xmoe::Role::remembered);
  both.bias.load(std::vector<float>{9, 0, 0});
  both.inner.level.load(std::vector<float>{1, 1, 3});
  CHECK(tests::chosen_by<float>(Both{}, {2, 4, 3}, both) == Ids{0, 1});
}

TEST_CASE("expert levels: errors", "[router][select]") {
  const auto text = [](ExpertLevels select) {
    return tests::message_of<xmoe::value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({0.5f, 0, 2}).find("min_experts is 2") != std::string::npos);
  CHECK(text({0.5f, 0, 0, 2}).find("in training 2") != std::string::npos);
  CHECK(!text({std::nanf("")}).empty());
  CHECK(!text({0.5f, -1}).empty());
  CHECK(!text({0.5f, 0, 0, -1}).empty());
  CHECK(text({}).empty());
}

}  // namespace
}  // namespace xmoe
