// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/lookup.hpp>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using Row = std::vector<double>;
using Ids = std::vector<std::int32_t>;
using Layer = MoeLayer<Lookup, expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;

const std::int32_t table[] = {2, 0, 1, -1, -1, -1};  // three ids
const Row x = {1, 2, 3, 4, -1, -2, 0.5, 1};
MatrixView<const double> tokens() { return {x.data(), 4, 2}; }

Layer layer_of(Lookup router) {
  Layer layer({2, 3, 4}, {.router = router}, cpu::Backend(1));
  layer.initialize({.seed = 4});
  return layer;
}

TEST_CASE("lookup: experts by id", "[router]") {
  const Layer layer = layer_of({.table = {table, 3, 2}, .equal_share = true});
  const Ids ids = {1, 0, 2, 0};
  const auto routing = layer.route({tokens(), {}, {ids.data(), 4}});
  CHECK(Ids(routing.expert().begin(), routing.expert().end()) == Ids{1, 2, 0, 2, 0});
  CHECK(std::vector<index>(routing.offsets().begin(), routing.offsets().end()) ==
        std::vector<index>{0, 1, 3, 3, 5});
  CHECK(Row(routing.weight().begin(), routing.weight().end()) == Row{1, .5, .5, .5, .5});
  const Layer unit = layer_of({.table = {table, 3, 2}});
  const auto whole = unit.route({tokens(), {}, {ids.data(), 4}});
  CHECK(Row(whole.weight().begin(), whole.weight().end()) == Row{1, 1, 1, 1, 1});
  // one row: every token's, without ids; padding gets nothing
  const std::uint8_t valid[] = {1, 0, 1, 1};
  const Layer shared = layer_of({.table = {table, 1, 2}});
  const auto all = shared.route({tokens(), {valid, 4}});
  CHECK(Ids(all.expert().begin(), all.expert().end()) == Ids{2, 0, 2, 0, 2, 0});
}

TEST_CASE("lookup: experts learn, the router has nothing to", "[router]") {
  Layer layer = layer_of({.table = {table, 3, 2}, .equal_share = true});
  const Ids ids = {1, 0, 2, 0};
  Row y(8), dx(8, 9.0), moved = x;
  const auto objective = [&] {
    Layer::Tape tape;
    layer.record({MatrixView<const double>(moved.data(), 4, 2), {}, {ids.data(), 4}},
                 MatrixView<double>(y.data(), 4, 2), tape);
    double value = 0.0;
    for (const double v : y) {
      value += v;
    }
    return value;
  };
  const auto tape =
      layer.record({tokens(), {}, {ids.data(), 4}}, MatrixView<double>(y.data(), 4, 2));
  auto gradients = layer.make_gradients();
  const Row ones(8, 1.0);
  layer.backward(tape, MatrixView<const double>(ones.data(), 4, 2),
                 MatrixView<double>(dx.data(), 4, 2), gradients);
  const auto numeric = tests::slopes(objective, moved);
  CHECK(tests::relative_error(dx, numeric) < 1e-7);
  CHECK(tests::relative_error(Row(8, 1.0), numeric) > 1e-2);  // twin
  for (const Parameter& p : layer.parameters()) {
    CHECK(p.name.find("router") == std::string::npos);
  }
}

TEST_CASE("lookup: errors", "[router]") {
  const Layer layer = layer_of({.table = {table, 3, 2}});
  const Ids ids = {1, 0, 3, 0};
  CHECK(tests::message_of<value_error>([&] {
          layer.route({tokens(), {}, {ids.data(), 4}});
        }) == "xmoe::Lookup: the id of token 2 is 3, the table has 3 rows");
  CHECK(tests::message_of<shape_error>([&] {
          layer.route({tokens(), {}, {ids.data(), 2}});
        }) == "xmoe::MoeLayer::route: there are 2 ids, x has 4 rows");
  CHECK(tests::message_of<value_error>([&] { layer.route(tokens()); }) ==
        "xmoe::Lookup: the call has no ids, the table has 3 rows");
  CHECK(tests::message_of<value_error>([&] {
          Lookup{.table = {table, 3, 2}}.check({2, 2, 4});
        }) == "xmoe::Lookup: the table names expert 2 for id 0, must be in -1 .. 1");
}

}  // namespace
}  // namespace xmoe
