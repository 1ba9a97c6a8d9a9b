// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/given.hpp>

#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace xmoe {
namespace {

using select::Given;
using tests::experts_by;
using tests::Lists;
using tests::ScoreBatch;

using Offsets = std::vector<index>;
using Experts = std::vector<std::int32_t>;

template <class Select>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, Select, weigh::Normalized>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;

TEST_CASE("given: a replay has the same bits, other weights move", "[router][select]") {
  tests::CaseOptions options;
  options.shape = {23, 6, 5, 7};
  const tests::Case c = tests::random_case(70, options);
  Layer<select::TopK> original({5, 6, 7}, {}, cpu::Backend(2));
  Layer<Given> replay({5, 6, 7}, {}, cpu::Backend(2));
  tests::load(original, c.setup);
  tests::load(replay, c.setup);
  const tests::Numbers<double> x(c.x);
  const Routing<double> routing = original.route(x.view());
  replay.config().router.select = {routing.offsets(), routing.expert()};
  const auto want = tests::layer_results(original, c);
  const auto got = tests::layer_results(replay, c);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO(want[i].name);
    CHECK(got[i].name == want[i].name);
    CHECK(got[i].values == want[i].values);
    CHECK(tests::magnitude(got[i].values) > 0.0);  // the router's gradient among them
  }
  // Another router: its own choice would differ, the given one stays; weights are its own.
  tests::Case other = c;
  for (double& v : other.setup.router.weight.values) {
    v = -0.5 * v;
  }
  tests::load(original, other.setup);
  tests::load(replay, other.setup);
  const auto ids = [](const Routing<double>& r) {
    return Experts(r.expert().begin(), r.expert().end());
  };
  const Routing<double> moved = replay.route(x.view());
  CHECK(ids(moved) == ids(routing));
  CHECK(ids(original.route(x.view())) != ids(routing));
  for (std::size_t a = 0; a < routing.weight().size(); a += 2) {
    CHECK(moved.weight()[a] != routing.weight()[a]);
    CHECK(std::abs(moved.weight()[a] + moved.weight()[a + 1] - 1.0) < 1e-12);
  }
}

TEST_CASE("given: a table by token, any number each, padding gets none", "[router][select]") {
  const Offsets offsets = {0, 2, 2, 3, 6};
  const Experts expert = {2, 0, 1, 0, 1, 2};
  const Given given{offsets, expert};
  CHECK(given.max_assignments(4, 3) == 6);
  given.check({.experts = 3});
  ScoreBatch<float> batch{3, std::vector<float>(12, 1.f)};
  CHECK(experts_by(given, batch) == Lists{{2, 0}, {}, {1}, {0, 1, 2}});
  batch.valid = {1, 1, 0, 1};
  CHECK(experts_by(given, batch) == Lists{{2, 0}, {}, {}, {0, 1, 2}});
  CHECK(experts_by(Given{}, ScoreBatch<float>{3, {}}).empty());
  Given{}.check({.experts = 3});
}

TEST_CASE("given: what does not fit is refused by name", "[router][select]") {
  Offsets offsets = {0, 1, 3};
  Experts expert = {1, 0, 2};
  ScoreBatch<float> batch{3, std::vector<float>(6, 1.f)};
  const auto run = [&] { experts_by(Given{offsets, expert}, batch); };
  const auto check = [&] { Given{offsets, expert}.check({.experts = 3}); };
  using tests::message_of;
  CHECK(message_of<error>(run).empty());
  CHECK(message_of<error>(check).empty());
  SECTION("tokens") {
    batch.scores.resize(9, 1.f);
    batch.logits = batch.scores;
    CHECK(message_of<shape_error>(run) ==
          "xmoe::select::Given: a choice for 2 tokens, the call has 3");
  }
  SECTION("a masked expert") {
    batch.logits[5] = -std::numeric_limits<float>::infinity();
    CHECK(message_of<value_error>(run) ==
          "xmoe::select::Given: token 1 is given expert 2, which is masked for it");
    batch.valid = {1, 0};  // not for padding
    CHECK(message_of<error>(run).empty());
  }
  SECTION("an expert out of range") {
    const std::string text = "xmoe::select::Given: expert[1] is 3, must be in 0 .. 2";
    expert[1] = 3;
    CHECK(message_of<value_error>(check) == text);
    CHECK(message_of<value_error>(run) == text);
    expert[1] = -1;
    CHECK(message_of<value_error>(check).find("expert[1] is -1") != std::string::npos);
  }
  SECTION("offsets") {
    offsets = {0, 2, 1};
    CHECK(message_of<shape_error>(check) ==
          "xmoe::select::Given: offsets fall from 2 to 1 at token 1");
    offsets = {0, 1, 2};
    CHECK(message_of<shape_error>(check) ==
          "xmoe::select::Given: offsets of 2 tokens run from 0 to 2, must run from 0 to 3 (experts "
          "given)");
    offsets = {1, 1, 3};
    CHECK(message_of<shape_error>(check).find("run from 1 to 3") != std::string::npos);
    offsets = {};
    CHECK(message_of<shape_error>(check).find("offsets of 0 tokens") != std::string::npos);
  }
}

}  // namespace
}  // namespace xmoe
