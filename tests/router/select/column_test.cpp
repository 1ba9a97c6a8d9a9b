// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/column.hpp>

#include "golden/xmoe_cases.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace xmoe {
namespace {

using select::Column;
using tests::ascending;
using tests::experts_by;
using tests::Lists;
using tests::ScoreBatch;
using tests::tokens_by_expert;

/// The tokens of every expert by sorting its column.
template <class R>
Lists by_sorting(const ScoreBatch<R>& batch, index most) {
  Lists result;
  for (index e = 0; e < batch.experts; ++e) {
    std::vector<Candidate<R>> column;
    for (index t = 0; t < batch.tokens(); ++t) {
      if (batch.is_valid(t) && !batch.masked(t, e)) {
        column.push_back(Candidate<R>::make({batch.score(t, e)}, t));
      }
    }
    std::sort(column.begin(), column.end(), [](auto a, auto b) { return b < a; });
    result.emplace_back();
    for (std::size_t i = 0; i < column.size() && i < static_cast<std::size_t>(most); ++i) {
      result.back().push_back(column[i].expert());
    }
  }
  return result;
}

TEMPLATE_TEST_CASE("column: published figures", "[router][select]", float, double) {
  using R = TestType;
  const auto four = tests::softmax_batch<R>(golden::wave_logits(4, 8));
  const auto loads = [](const Column& select, const ScoreBatch<R>& batch) {
    return tokens_by_expert(experts_by(select, batch), batch.experts);
  };
  CHECK(loads({.capacity = 1}, four) == Lists{{1}, {0}, {3}, {1}, {2}, {1}, {3}, {2}});
  const Lists two = ascending({{1, 2}, {0, 1}, {3, 0}, {1, 0}, {2, 1}, {1, 2}, {3, 0}, {2, 0}});
  CHECK(loads({.capacity = 2}, four) == two);
  CHECK(loads({.k = 4}, four) == two);                    // 4 * 4 / 8
  CHECK(loads({.k = 2}, four) == loads({.k = 1}, four));  // C = 1: round(.5) too
  CHECK(loads({.k = 2}, four) != two);
  const auto sixteen = tests::softmax_batch<R>(golden::wave_logits(16, 8));
  const Lists want =
      ascending({{6, 11}, {5, 9}, {3, 14}, {14, 4}, {10, 13}, {12, 15}, {8, 3}, {2, 9}});
  CHECK(loads({.k = 1}, sixteen) == want);
  CHECK(loads({.capacity = 2}, sixteen) == want);
  // the logits' order down a column is another one: softmax changes it
  const auto plain = tests::score_batch<R>(golden::wave_logits(16, 8));
  CHECK(loads({.capacity = 2}, plain) != want);
}

TEMPLATE_TEST_CASE("column: all equal, the same tokens for every expert", "[router][select]", float,
                   double) {
  const ScoreBatch<TestType> flat{4, std::vector<TestType>(16, TestType(0.25))};
  CHECK(experts_by(Column{.capacity = 2}, flat) == Lists{{0, 1, 2, 3}, {0, 1, 2, 3}, {}, {}});
}

TEST_CASE("column: how many tokens", "[router][select]") {
  CHECK(Column{.k = 2}.tokens_per_expert(16, 8) == 4);
  CHECK(Column{.k = 1.25}.tokens_per_expert(16, 8) == 3);  // 2.5: halves up
  CHECK(Column{.k = 1.2}.tokens_per_expert(16, 8) == 2);
  CHECK(Column{.k = 1}.tokens_per_expert(1, 8) == 1);
  CHECK(Column{.k = 8}.tokens_per_expert(3, 8) == 3);
  CHECK(Column{.k = 1}.tokens_per_expert(0, 8) == 0);
  CHECK(Column{.k = 2}.tokens_per_expert(5, 1) == 5);  // one expert: dense
  CHECK(Column{.k = 2, .capacity = 3}.tokens_per_expert(16, 8) == 3);
  CHECK(Column{.k = 2, .capacity = 30}.tokens_per_expert(16, 8) == 16);
  CHECK(Column{.k = 2, .capacity = 3}.max_assignments(16, 8) == 24);
}

TEMPLATE_TEST_CASE("column: equal loads, as by sorting, for any threads", "[router][select]", float,
                   double) {
  using R = TestType;
  tests::Generator random(31);
  for (const index experts : {1, 2, 7, 8, 33, 60}) {
    for (const index tokens : {1, 2, 17, 100}) {
      auto batch = tests::softmax_batch<R>(tests::normal_matrix(random, tokens, experts));
      for (R& v : batch.scores) {
        v = std::round(v * R(32)) / R(32);  // many ties
      }
      for (const double k : {0.3, 1.0, 1.7}) {
        const Column select{.k = std::min(k, static_cast<double>(experts))};
        const index most = select.tokens_per_expert(tokens, experts);
        INFO("seed 31, " << tokens << " tokens, " << experts << " experts, k " << k);
        const Lists got = experts_by(select, batch, {.threads = 1});
        const Lists loads = tokens_by_expert(got, experts);
        CHECK(loads == ascending(by_sorting(batch, most)));
        for (const auto& list : loads) {
          CHECK(static_cast<index>(list.size()) == most);
        }
        for (const index threads : {2, 3, 8}) {
          CHECK(experts_by(select, batch, {.threads = threads}) == got);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("column: masks, padding, NaN", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  // token 1 is padding with the best scores; token 2 is NaN; expert 2 is masked but for token 3
  const ScoreBatch<R> batch{3,
                            {1, 2, 3, 9, 9, 9, nan, nan, nan, 4, 1, 2},
                            {0, 0, -inf, 0, 0, 0, 0, 0, -inf, 0, 0, 0},
                            {1, 0, 1, 1}};
  CHECK(experts_by(Column{.capacity = 2}, batch) == Lists{{1, 0}, {}, {}, {0, 2, 1}});
  CHECK(experts_by(Column{.capacity = 3}, batch) == Lists{{1, 0}, {}, {0, 1}, {0, 2, 1}});
  CHECK(experts_by(Column{.capacity = 1}, batch) == Lists{{1}, {}, {}, {0, 2}});
  CHECK(experts_by(Column{.k = 1}, batch) == Lists{{1}, {}, {}, {0, 2}});  // C of 3 valid, not 4
  const ScoreBatch<R> none{2, {1, 1, 1, 1}, {-inf, -inf, -inf, -inf}};
  CHECK(experts_by(Column{}, none) == Lists{{}, {}});
  CHECK(experts_by(Column{}, ScoreBatch<R>{2, {}}).empty());
  CHECK(experts_by(Column{}, ScoreBatch<R>{2, {1, 2, 3, 4}, {1, 2, 3, 4}, {0, 0}}) ==
        Lists{{}, {}});
}

TEST_CASE("column: errors", "[router][select]") {
  const auto text = [](Column select) {
    return tests::message_of<value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({.k = 5}) ==
        "xmoe::select::Column: k is 5, capacity is 0; k must be above 0 and at most 4 (experts), "
        "capacity 0 or more");
  CHECK(text({.k = 0}).find("k is 0") != std::string::npos);
  CHECK(text({.k = std::numeric_limits<double>::quiet_NaN()}).find("nan") != std::string::npos);
  CHECK(text({.capacity = -1}).find("capacity is -1") != std::string::npos);
  CHECK(text({}).empty());
}

TEST_CASE("column: the gradient of a layer, picks fixed", "[router][select]") {
  using Layer = MoeLayer<Router<gate::Linear, score::Softmax, Column>,
                         expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;
  tests::CaseOptions options;
  options.shape = {9, 4, 5, 6};
  const tests::Case c = tests::random_case(32, options);
  Layer layer({5, 4, 6}, {.router = {.select = {.k = 2}}}, cpu::Backend(2));
  tests::load(layer, c.setup);
  const tests::Numbers<double> x(c.x), dy(c.dy);
  tests::Numbers<double> y(9, 5), dx(9, 5);
  Layer::Tape tape;
  const auto objective = [&] {
    layer.record(x.view(), y.view(), tape);
    double value = 0.0;
    for (index i = 0; i < 9; ++i) {
      for (index d = 0; d < 5; ++d) {
        value += dy.view()(i, d) * y.view()(i, d);
      }
    }
    return value;
  };
  objective();
  const auto before = layer.route(x.view());
  Layer::Gradients g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  const auto report = gradient_check(objective, layer.parameters(), g.parameters(), {.most = 0});
  INFO(report.name << " " << report.element << ": " << report.analytic << ", " << report.numeric);
  CHECK(report.worst < 1e-6);
  CHECK(report.checked > 0);
  for (const Parameter& p : g.parameters()) {  // twin: a gradient that is lost
    if (p.name == "router.gate.weight") {
      const auto values = p.as<double>().values();
      std::fill(values.begin(), values.end(), 0.0);
    }
  }
  CHECK(gradient_check(objective, layer.parameters(), g.parameters(), {.most = 0}).worst > 1e-2);
  CHECK(before.assignments() == 4 * 5);  // C = round(2 * 9 / 4)
}

}  // namespace
}  // namespace xmoe
