// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/forced.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Forced;
using xmoe::select::Grouped;
using xmoe::select::TopK;
using Flags = std::vector<std::uint8_t>;

VectorView<const std::uint8_t> view(const Flags& flags) {
  return {flags.data(), static_cast<index>(flags.size())};
}

TEMPLATE_TEST_CASE("forced: first, whatever their key", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const std::vector<R> s = {1, 4, -2, 3};
  const Flags third = {0, 0, 1, 0}, many = {1, 0, 1, 1}, none = {0, 0, 0, 0};
  CHECK(chosen_by(Forced<>{{2}, view(third)}, s) == Ids{2, 1});
  CHECK(chosen_by(Forced<>{{2}, view(many)}, s) == Ids{0, 2});  // the lowest indices win
  CHECK(chosen_by(Forced<>{{4}, view(many)}, s) == Ids{0, 2, 3, 1});
  CHECK(chosen_by(Forced<>{{2}, view(none)}, s) == chosen_by(TopK{2}, s));
  CHECK(chosen_by(Forced<>{{2}}, s) == chosen_by(TopK{2}, s));
  CHECK(chosen_by<R>(Forced<>{{2}, view(third)}, {1, inf, -2, 3}) == Ids{1, 2});  // +Inf: equal
  // An expert that may not be chosen is not forced.
  CHECK(tests::chosen_from<R>(Forced<>{{2}, view(third)}, {0, 0, -inf, 0}, s, {}) == Ids{1, 3});
  CHECK(chosen_by<R>(Forced<>{{2}, view(third)}, {1, 4, -inf, 3}) == Ids{1, 3});
}

TEST_CASE("forced: with a bias and with groups, inside and outside", "[router][select]") {
  const wave::Row s = {1, 2, 3, 4};
  const Flags first = {1, 0, 0, 0};
  const auto check = [&](const auto& select, const wave::Row& bias, const Ids& want) {
    auto own = select.template make_weights<xmoe::Cpu<double>>({1, 4, 1});
    own.bias.load(bias);
    CHECK(chosen_by(select, s, own) == want);
  };
  check(Biased<Forced<>>{{{2}, view(first)}}, {-9, 0, 5, 0}, {0, 2});
  check(Forced<Biased<TopK>>{{{2}}, view(first)}, {-9, 0, 5, 0}, {0, 2});
  // Groups see the forced expert's key; in a group that is out it is not forced.
  CHECK(chosen_by(Forced<Grouped<>>{{{2}, 2, 1, 1}, view(first)}, s) == Ids{0, 1});
  CHECK(chosen_by(Grouped<Forced<>>{{{2}, view(first)}, 2, 1, 1}, s) == Ids{3, 2});
}

TEST_CASE("forced: changes nothing else; without an expert as without its column",
          "[router][select]") {
  tests::Generator random(26);
  for (int i = 0; i < 100; ++i) {
    const index experts = 3 + random.below(20);
    const auto n = static_cast<std::size_t>(experts);
    const wave::Row s = tests::normals(random, experts);
    const index e = random.below(experts);
    Flags flags(n, 0);
    flags[static_cast<std::size_t>(e)] = 1;
    Ids want = {e};  // then the best two others
    for (const index other : chosen_by(TopK{3}, s)) {
      if (other != e && want.size() < 3) {
        want.push_back(other);
      }
    }
    CHECK(chosen_by(Forced<>{{3}, view(flags)}, s) == want);
    // Suppressed by a mask: the others move up.
    wave::Row z(n, 0.0), rest = s;
    z[static_cast<std::size_t>(e)] = -std::numeric_limits<double>::infinity();
    rest.erase(rest.begin() + e);
    Ids moved = chosen_by(TopK{2}, rest);
    for (index& id : moved) {
      id += id >= e ? 1 : 0;
    }
    CHECK(tests::chosen_from(Forced<>{{2}}, z, s, {}) == moved);
  }
}

TEST_CASE("forced: errors", "[router][select]") {
  const Flags three = {0, 0, 0};
  CHECK(tests::message_of<value_error>([&] {
          Forced<>{{2}, view(three)}.check({1, 4, 1});
        }) == "xmoe::select::Forced: 3 flags, must be none or 4 (experts)");
  CHECK(tests::message_of<value_error>([&] {
          Forced<>{{2}, view(three)}.check({1, 3, 1});
        }).empty());
  CHECK(!tests::message_of<value_error>([] { Forced<>{{5}}.check({1, 4, 1}); }).empty());
  CHECK(Forced<xmoe::select::Threshold>{{0.f}}.max_assignments(2, 5) == 10);
}

}  // namespace
}  // namespace xmoe
