// SPDX-License-Identifier: Apache-2.0
// A dropless layer's result for a token depends on that token alone, bit for bit: order of tokens,
// batch mates, batch size. Renumbering the experts leaves the outputs equal up to rounding.
#include <numeric>

#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Gelu>, dispatch::Dropless>;
using Gated = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Glu<activation::Silu>, dispatch::Dropless>;
using Limited = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                         expert::Ffn<activation::Gelu>, dispatch::Capacity>;

tests::Case make_case(index tokens, std::uint64_t seed) {
  tests::CaseOptions o;
  o.shape = {tokens, 6, 33, 21};
  o.activation = reference::Activation::gelu_tanh;
  o.router.threshold = 0.8;
  return tests::random_case(seed, o);
}
std::vector<index> shuffled(index n, std::uint64_t seed) {
  std::vector<index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), index{0});
  tests::Generator random(seed);
  for (index i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(random.below(i + 1))]);
  }
  return order;
}
reference::Matrix picked(const reference::Matrix& m, const std::vector<index>& rows) {
  reference::Matrix result(static_cast<index>(rows.size()), m.cols);
  for (index i = 0; i < result.rows; ++i) {
    reference::set_row(result, i, reference::row_of(m, rows[static_cast<std::size_t>(i)]));
  }
  return result;
}

struct Results {
  Numbers<float> y, dx;
};
template <class L>
Results run(const L& layer, const reference::Matrix& x, const reference::Matrix& dy) {
  const Numbers<float> in(x);
  const Numbers<float> up(dy);
  Results r{Numbers<float>(x.rows, x.cols), Numbers<float>(x.rows, x.cols)};
  typename L::Tape tape;
  layer.record(in.view(), r.y.view(), tape);
  typename L::Gradients g = layer.make_gradients();
  layer.backward(tape, up.view(), r.dx.view(), g);
  return r;
}
/// Rows `rows` of a equal the rows 0, 1, ... of b.
bool rows_equal(const Numbers<float>& a, const std::vector<index>& rows, const Numbers<float>& b) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (std::memcmp(a.view().row_data(rows[i]), b.view().row_data(static_cast<index>(i)),
                    sizeof(float) * static_cast<std::size_t>(a.view().cols())) != 0) {
      return false;
    }
  }
  return true;
}

TEST_CASE("permuting tokens permutes outputs and gradients bitwise", "[layer][batch]") {
  for (index tokens : {2, 13, 64, 131}) {
    INFO("T " << tokens);
    const tests::Case c = make_case(tokens, 5);
    const Layer layer = tests::make_layer<Layer>(c.setup);
    const Results straight = run(layer, c.x, c.dy);
    const std::vector<index> order = shuffled(tokens, 77);
    const Results mixed = run(layer, picked(c.x, order), picked(c.dy, order));
    CHECK(rows_equal(straight.y, order, mixed.y));
    CHECK(rows_equal(straight.dx, order, mixed.dx));
    if (tokens > 2) {
      CHECK(!(straight.y == mixed.y));  // the permutation is one
    }
  }
}

TEST_CASE("batch mates change nothing bitwise", "[layer][batch]") {
  const tests::Case c = make_case(140, 6);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  const Results all = run(layer, c.x, c.dy);
  for (const std::vector<index>& some :
       std::vector<std::vector<index>>{{0}, {139}, {7, 8}, {3, 50, 100}, shuffled(29, 3)}) {
    INFO(some.size() << " tokens of 140");
    const Results few = run(layer, picked(c.x, some), picked(c.dy, some));
    CHECK(rows_equal(all.y, some, few.y));
    CHECK(rows_equal(all.dx, some, few.dx));
  }
}

TEST_CASE("batch mates change nothing bitwise: gated experts of many sizes", "[layer][batch]") {
  for (const auto& [dim, hidden] : std::vector<std::pair<index, index>>{
           {1, 1}, {16, 16}, {32, 31}, {100, 17}, {600, 7}, {7, 600}, {900, 33}, {33, 900}}) {
    INFO("D " << dim << ", H " << hidden);
    tests::CaseOptions o;
    o.shape = {130, 3, dim, hidden};
    o.router.select = reference::Select::top_k;
    o.router.k = 2;
    o.gated = true;
    const tests::Case c = tests::random_case(static_cast<std::uint64_t>(dim + hidden), o);
    const Gated layer = tests::make_layer<Gated>(c.setup);
    const Results all = run(layer, c.x, c.dy);
    for (const std::vector<index>& some :
         std::vector<std::vector<index>>{{0}, {129}, {64, 3}, {5, 6, 7, 8, 9}}) {
      const Results few = run(layer, picked(c.x, some), picked(c.dy, some));
      CHECK(rows_equal(all.y, some, few.y));
      CHECK(rows_equal(all.dx, some, few.dx));
    }
  }
}

TEST_CASE("capacity by rank and probability: permuting tokens permutes", "[layer][batch]") {
  tests::Case c = make_case(60, 8);
  c.setup.capacity = {true, 1.5, 1, reference::Priority::rank_then_probability, {}};
  const Limited layer = tests::make_layer<Limited>(c.setup);
  const Results straight = run(layer, c.x, c.dy);
  const std::vector<index> order = shuffled(60, 78);
  const Results mixed = run(layer, picked(c.x, order), picked(c.dy, order));
  CHECK(rows_equal(straight.y, order, mixed.y));
  CHECK(rows_equal(straight.dx, order, mixed.dx));
}

TEST_CASE("renumbering the experts leaves the outputs equal", "[layer][batch]") {
  const tests::Case c = make_case(50, 9);
  tests::Case renamed = c;
  const std::vector<index> order = shuffled(6, 4);
  renamed.setup.router.weight = picked(c.setup.router.weight, order);
  const auto move = [&](const reference::Stack& from, reference::Stack& to) {
    for (index e = 0; e < 6; ++e) {
      for (index i = 0; i < from.rows; ++i) {
        for (index j = 0; j < from.cols; ++j) {
          to(e, i, j) = from(order[static_cast<std::size_t>(e)], i, j);
        }
      }
    }
  };
  move(c.setup.experts.up, renamed.setup.experts.up);
  move(c.setup.experts.up_bias, renamed.setup.experts.up_bias);
  move(c.setup.experts.down, renamed.setup.experts.down);
  move(c.setup.experts.down_bias, renamed.setup.experts.down_bias);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  const Layer other = tests::make_layer<Layer>(renamed.setup);
  const Results a = run(layer, c.x, c.dy);
  const Results b = run(other, c.x, c.dy);
  tests::check_close<float>("y", tests::numbers(b.y.view()), tests::numbers(a.y.view()), 12);
  tests::check_close<float>("x", tests::numbers(b.dx.view()), tests::numbers(a.dx.view()), 12);
}

}  // namespace
