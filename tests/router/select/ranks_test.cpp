// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/ranks.hpp>

#include "support/catch.hpp"
#include "wave.hpp"

namespace xmoe {
namespace {

using tests::chosen_by;
using wave::Ids;
using xmoe::select::Biased;
using xmoe::select::Ranks;
using xmoe::select::Threshold;
using xmoe::select::TopK;

TEMPLATE_TEST_CASE("ranks: those that are kept", "[router][select]", float, double) {
  using R = TestType;
  const std::vector<R> s = {1, 4, 2, 3};
  CHECK(chosen_by(Ranks<>{{3}, 0b001}, s) == Ids{1});
  CHECK(chosen_by(Ranks<>{{3}, 0b100}, s) == Ids{2});
  CHECK(chosen_by(Ranks<>{{3}, 0b101}, s) == Ids{1, 2});
  CHECK(chosen_by(Ranks<>{{3}, 0b111}, s) == chosen_by(TopK{3}, s));
  CHECK(chosen_by(Ranks<>{{2}, 0b100}, s).empty());  // there is no third
  CHECK(chosen_by(Ranks<>{}, s) == Ids{3});          // the second of two
  CHECK(chosen_by<R>(Ranks<Threshold>{{0.5f}, 0b10}, {R(0.75), R(0.25)}).empty());
  CHECK(chosen_by<R>(Ranks<Threshold>{{0.8f}, 0b10}, {R(0.75), R(0.25)}) == Ids{1});
  std::vector<R> many;
  for (int e = 0; e < 70; ++e) {
    many.push_back(static_cast<R>(e));
  }
  CHECK(chosen_by(Ranks<>{{70}, std::uint64_t{1} << 63}, many) == Ids{6});
  CHECK(chosen_by(Ranks<>{{70}, ~std::uint64_t{0}}, many).size() == 64);
}

TEST_CASE("ranks: under a bias and around one", "[router][select]") {
  const wave::Row s = {1, 4, 2, 3}, bias = {9, 0, 0, 0};
  const auto check = [&](const auto& select) {
    auto own = select.template make_weights<xmoe::Cpu<double>>({1, 4, 1});
    own.bias.load(bias);
    CHECK(chosen_by(select, s, own) == Ids{1});
  };
  check(Biased<Ranks<>>{});
  check(Ranks<Biased<TopK>>{});
  CHECK(Biased<Ranks<Threshold>>{}.max_assignments(2, 7) == 14);
  CHECK(Ranks<>{}.max_assignments(2, 7) == 4);
}

TEST_CASE("ranks: errors", "[router][select]") {
  CHECK(tests::message_of<value_error>([] {
          Ranks<>{{2}, 0}.check({1, 4, 1});
        }) == "xmoe::select::Ranks: kept is 0: no expert would ever be chosen");
  CHECK(tests::message_of<value_error>([] {
          Ranks<>{{5}}.check({1, 4, 1});
        }) == "xmoe::select::TopK: k is 5, must be in 1 .. 4 (experts)");
  CHECK(tests::message_of<value_error>([] { Ranks<>{}.check({1, 4, 1}); }).empty());
}

}  // namespace
}  // namespace xmoe
