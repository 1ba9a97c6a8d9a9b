// SPDX-License-Identifier: Apache-2.0
#include <xmoe/metrics/choices.hpp>

#include "random_routing.hpp"

namespace xmoe {
namespace {

using Ids = std::vector<std::int32_t>;

TEST_CASE("choices: a set keeps the order of the row", "[metrics]") {
  const auto routing =
      tests::routing_of<double>(5, {{{3, .9}, {1, .5}, {3, .2}}, {}, {{1, .4}, {4, .1}}});
  metrics::Choices<double> choices("f", routing.view());
  const auto set = [&](index t) {
    const auto found = choices.of(t);
    return Ids(found.begin(), found.end());
  };
  CHECK(set(0) == Ids{3, 1});
  CHECK((choices.has(3) && choices.has(1) && !choices.has(4) && !choices.has(0)));
  CHECK(choices.common(Ids{0, 1, 3, 4}) == 2);
  CHECK(set(1).empty());
  CHECK(!choices.has(3));  // of the row before
  CHECK(set(2) == Ids{1, 4});
  CHECK(choices.common(Ids{3, 4}) == 1);
  CHECK(set(2) == Ids{1, 4});  // and once more
}

TEST_CASE("choices: the padding mask must fit", "[metrics]") {
  const auto routing = tests::routing_of<double>(2, {{{0, .9}}, {}});
  const std::vector<std::uint8_t> valid = {1, 0}, wrong = {1};
  const metrics::Choices<double> choices("f", routing.view(), tests::in(valid));
  CHECK((choices.is_real(0) && !choices.is_real(1)));
  CHECK((metrics::Choices<double>("f", routing.view()).is_real(1)));
  CHECK(tests::message_of<shape_error>([&] {
          metrics::Choices<double>("xmoe::f", routing.view(), tests::in(wrong));
        }) == "xmoe::f: the padding mask has 1 entries, there are 2 tokens");
}

TEST_CASE("each_sequence: ranges, and offsets that are refused", "[metrics]") {
  using Ranges = std::vector<std::pair<index, index>>;
  const auto ranges = [](const std::vector<index>& offsets, index tokens) {
    Ranges found;
    metrics::each_sequence("f", tests::in(offsets), tokens, [&](index begin, index end) {
      found.push_back({begin, end});
    });
    return found;
  };
  CHECK(ranges({}, 5) == Ranges{{0, 5}});
  CHECK(ranges({0, 2, 2, 5}, 5) == Ranges{{0, 2}, {2, 2}, {2, 5}});
  CHECK(ranges({0}, 0).empty());
  for (const std::vector<index>& wrong :
       {std::vector<index>{1, 5}, {0, 4}, {0, 6}, {0, 3, 2, 5}, {0, 7, 5}, {0}}) {
    const std::string message = tests::message_of<shape_error>([&, w = wrong] { ranges(w, 5); });
    INFO(message);
    CHECK(message.find("f: sequence_offsets[") == 0);
    CHECK(message.find("must rise from 0 to 5") != std::string::npos);
  }
}

}  // namespace
}  // namespace xmoe
