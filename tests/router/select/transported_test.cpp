// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/transported.hpp>

#include "golden/xmoe_cases.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace xmoe {
namespace {

using reference::Matrix;
using select::Column;
using select::TopK;
using select::TopOne;
using select::Transported;
using tests::experts_by;
using tests::Lists;
using tests::ScoreBatch;

/// Copies what it is asked to choose from; chooses nothing.
struct Probe {
  std::vector<double>* seen = nullptr;

  index max_assignments(index, index) const { return 0; }
  template <class Traits>
  void batch(Context<Traits>& ctx, const SelectBatch<typename Traits::routing>& in,
             RoutingView<typename Traits::routing>& routing) const {
    if (ctx.measuring()) {
      return;
    }
    std::fill(routing.offsets, routing.offsets + in.scores.rows() + 1, index(0));
    routing.valid_tokens = select::detail::count_valid(in);
    *seen = tests::numbers(in.scores);
  }
};

template <class R>
std::vector<double> order_of(Transported<Probe> select, const ScoreBatch<R>& batch,
                             tests::BatchRun run = {}) {
  std::vector<double> seen;
  select.inner.seen = &seen;
  experts_by(select, batch, run);
  return seen;
}
double column_sum(const std::vector<double>& order, index experts, index e) {
  double sum = 0.0;
  for (index i = e; i < static_cast<index>(order.size()); i += experts) {
    sum += order[static_cast<std::size_t>(i)];
  }
  return sum;
}

TEMPLATE_TEST_CASE("transported: published figures", "[router][select]", float, double) {
  using R = TestType;
  const auto batch = tests::softmax_batch<R>(golden::wave_logits(4, 8));
  CHECK(experts_by(Transported<TopOne>{}, batch) == Lists{{1}, {5}, {7}, {6}});
  CHECK(experts_by(Transported<TopK>{{2}}, batch) == Lists{{1, 3}, {5, 3}, {7, 4}, {6, 2}});
  // in inference the plain scores
  CHECK(experts_by(Transported<TopK>{{2}}, batch, {.mode = Mode::infer}) ==
        Lists{{1, 2}, {0, 3}, {7, 0}, {2, 6}});
  const auto order = order_of(Transported<Probe>{}, batch);
  const double near = sizeof(R) == 8 ? 0.5e-8 : 1e-7;
  CHECK(std::abs(order[0] - .02754020) < near);
  CHECK(std::abs(order[1] - .09985906) < near);
  for (index e = 0; e < 8; ++e) {
    CHECK(std::abs(column_sum(order, 8, e) - 0.125) < 1e-6);
    CHECK(std::abs(column_sum(tests::wide(batch.scores), 8, e) / 4 - 0.125) > 1e-3);  // not plain
  }
  if (sizeof(R) == 8) {  // 19 iterations: one less is another result, more are not made
    const auto limited = [&](index most) {
      return order_of(Transported<Probe>{.max_iterations = most}, batch);
    };
    CHECK(limited(18) != order);
    CHECK(limited(19) == order);
    CHECK(limited(20) == order);
    CHECK(order_of(Transported<Probe>{.tolerance = 1e-6}, batch) != order);
  }
  const auto exact = order_of(Transported<Probe>{.guard = 0.0}, batch);
  CHECK(std::abs(exact[1] - order[1]) < 2e-8);
  const auto greater = order_of(Transported<Probe>{.guard = 1e-2}, batch);
  CHECK(std::abs(greater[1] - order[1]) > 1e-5);
}

TEST_CASE("transported: any score, any constant on a row", "[router][select]") {
  const Matrix z = golden::wave_logits(16, 8);
  Matrix moved = z;
  for (index t = 0; t < 16; ++t) {
    for (index e = 0; e < 8; ++e) {
      moved(t, e) += 100.0 * static_cast<double>(t);  // exp overflows floats
    }
  }
  const auto a = order_of(Transported<Probe>{}, tests::softmax_batch<double>(z));
  const auto b = order_of(Transported<Probe>{}, tests::score_batch<double>(moved));
  CHECK(tests::relative_error(a, b) < 1e-12);
  const auto c = order_of(Transported<Probe>{}, tests::score_batch<float>(moved));
  CHECK(tests::relative_error(a, c) < 1e-3);  // 1e-4 of the logits are lost in float
}

TEST_CASE("transported: evens out what all tokens prefer", "[router][select]") {
  tests::Generator random(60);
  Matrix z = tests::normal_matrix(random, 200, 8);
  for (index t = 0; t < 200; ++t) {
    z(t, 3) += 30.0;  // beyond the reach of the guard, hence without it
  }
  const auto loads = [&](const auto& select) {
    std::vector<index> n;
    const auto batch = tests::softmax_batch<double>(z);
    for (const auto& list : tests::tokens_by_expert(experts_by(select, batch), 8)) {
      n.push_back(static_cast<index>(list.size()));
    }
    return n;
  };
  const auto even = loads(Transported<TopOne>{.guard = 0.0});
  CHECK(*std::min_element(even.begin(), even.end()) >= 12);
  CHECK(*std::max_element(even.begin(), even.end()) <= 40);
  const auto plain = loads(Transported<TopOne>{.max_iterations = 1});
  CHECK(plain != even);
}

TEMPLATE_TEST_CASE("transported: the same bits for any threads", "[router][select]", float,
                   double) {
  using R = TestType;
  tests::Generator random(61);
  for (const index tokens : {1, 31, 33, 150}) {
    auto batch = tests::softmax_batch<R>(tests::normal_matrix(random, tokens, 7, 2.0));
    const auto order = order_of(Transported<Probe>{}, batch, {.threads = 1});
    const Lists top = experts_by(Transported<TopK>{}, batch, {.threads = 1});
    const Lists columns = experts_by(Transported<Column>{{.k = 1}}, batch, {.threads = 1});
    for (const index threads : {2, 3, 8}) {
      INFO("seed 61, " << tokens << " tokens, " << threads << " threads");
      CHECK(order_of(Transported<Probe>{}, batch, {.threads = threads}) == order);
      CHECK(experts_by(Transported<TopK>{}, batch, {.threads = threads}) == top);
      CHECK(experts_by(Transported<Column>{{.k = 1}}, batch, {.threads = threads}) == columns);
    }
    for (const auto& list : tests::tokens_by_expert(columns, 7)) {
      CHECK(static_cast<index>(list.size()) == Column{.k = 1}.tokens_per_expert(tokens, 7));
    }
  }
}

TEMPLATE_TEST_CASE("transported: masks, padding, NaN", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  // expert 2 is closed; token 1 is padding, 2 NaN, 3 without experts
  const std::vector<R> z = {1, 0, -inf, nan, nan, nan, 1, nan, -inf, -inf, -inf, -inf, 2, 0, -inf};
  const ScoreBatch<R> batch{3, z, z, {1, 0, 1, 1, 1}};
  const auto order = order_of(Transported<Probe>{.tolerance = 0.0}, batch);
  // two tokens on two experts: the one that prefers expert 0 less goes to 1
  CHECK(std::abs(order[0] + order[1] - 0.5) < 1e-6);
  CHECK(std::abs(order[0] + order[12] - 0.5) < 1e-6);
  CHECK(order[1] > order[0]);
  CHECK(order[12] > order[13]);
  CHECK(order[2] == 0.0);
  const Lists top = experts_by(Transported<TopOne>{}, batch);
  CHECK(top == Lists{{1}, {}, {0}, {}, {0}});
  CHECK(experts_by(Transported<Column>{{.capacity = 2}}, batch) ==
        Lists{{1, 0}, {}, {}, {}, {0, 1}});  // NaN last
  CHECK(experts_by(Transported<TopOne>{}, ScoreBatch<R>{2, {-inf, -inf}}) == Lists{{}});
  CHECK(experts_by(Transported<TopOne>{}, ScoreBatch<R>{2, {}}).empty());
  CHECK(experts_by(Transported<TopOne>{}, ScoreBatch<R>{1, {3, 4}}) == Lists{{0}, {0}});
  CHECK(experts_by(Transported<TopOne>{}, ScoreBatch<R>{3, {0, 2, 1}}).size() == 1);
  // no balance is possible: ends in numbers
  const ScoreBatch<R> never{2, {1, -inf, 2, -inf, 3, 4}};
  for (const double v : order_of(Transported<Probe>{.tolerance = 0.0, .guard = 0.0}, never)) {
    CHECK(std::isfinite(v));
  }
}

TEST_CASE("transported: weights are plain scores", "[router][select]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Sigmoid, Transported<TopOne>>,
                         expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;
  tests::CaseOptions options;
  options.shape = {20, 4, 5, 6};
  const tests::Case c = tests::random_case(62, options);
  Layer layer({5, 4, 6}, {}, cpu::Backend(2));
  tests::load(layer, c.setup);
  const tests::Numbers<double> x(c.x);
  tests::Numbers<double> y(20, 5);
  Layer::Tape tape;
  layer.record(x.view(), y.view(), tape);
  const auto& d = tape.decision();
  const auto infer = layer.route(x.view());
  index moved = 0;
  for (index t = 0; t < 20; ++t) {
    REQUIRE(d.routing.end(t) == t + 1);
    CHECK(d.routing.weight[t] == d.scores(t, d.routing.expert[t]));
    moved += d.routing.expert[t] != infer.expert()[static_cast<std::size_t>(t)] ? 1 : 0;
  }
  CHECK(moved > 0);
}

TEST_CASE("transported: room and errors", "[router][select]") {
  CHECK(Transported<TopK>{{3}}.max_assignments(5, 8) == 15);
  CHECK(Transported<Column>{{.capacity = 3}}.max_assignments(5, 8) == 24);
  const auto text = [](Transported<TopK> select) {
    return tests::message_of<value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({{5}}) == "xmoe::select::TopK: k is 5, must be in 1 .. 4 (experts)");
  CHECK(text({{2}, -1.0}) ==
        "xmoe::select::Transported: tolerance is -1, guard is 1e-08, max_iterations is 100; need 0 "
        "or more, 0 or more, 1 or more");
  CHECK(text({{2}, 1e-4, 0}).find("max_iterations is 0") != std::string::npos);
  CHECK(text({{2}, 1e-4, 9, -1.0}).find("guard is -1") != std::string::npos);
  CHECK(text({}).empty());
}

}  // namespace
}  // namespace xmoe
