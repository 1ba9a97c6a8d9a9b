// SPDX-License-Identifier: Apache-2.0
// The decision of a whole layer: skew, ties, odd numbers, distinct experts, thresholds at their
// ends, biases, and the pipeline cut in two.
#include <limits>
#include <set>

#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Matrix;
using tests::index;
using tests::Numbers;

using Threshold = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                           expert::Ffn<activation::Relu>, dispatch::Dropless>;
using TopK =
    MoeLayer<Router<gate::Linear, score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>,
             expert::Ffn<activation::Relu>, dispatch::Dropless>;

/// A layer whose gate hands the tokens through as logits.
template <class Layer>
Layer logit_layer(index experts, double threshold, index k) {
  reference::Setup s = golden::given_logits(0, experts);
  s.router.threshold = threshold;
  s.router.k = k;
  s.router.selection_bias.assign(static_cast<std::size_t>(experts), 0.0);
  return tests::make_layer<Layer>(s);
}
template <class Layer>
std::vector<std::vector<int>> choices(const Layer& layer, const Matrix& logits) {
  const Numbers<float> x(logits);
  const auto routing = layer.route(x.view());
  std::vector<std::vector<int>> rows;
  for (index t = 0; t < logits.rows; ++t) {
    const auto begin = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t)]);
    const auto end = static_cast<std::size_t>(routing.offsets()[static_cast<std::size_t>(t + 1)]);
    rows.emplace_back(routing.expert().begin() + static_cast<index>(begin),
                      routing.expert().begin() + static_cast<index>(end));
    const std::set<int> distinct(rows.back().begin(), rows.back().end());
    CHECK(distinct.size() == rows.back().size());
    for (int e : rows.back()) {
      CHECK((e >= 0 && e < layer.sizes().experts));
    }
  }
  return rows;
}
using Rows = std::vector<std::vector<int>>;

TEST_CASE("ties go to the lower index", "[layer][routing]") {
  TopK top = logit_layer<TopK>(6, 0.5, 3);
  CHECK(choices(top, Matrix(2, 6)) == Rows{{0, 1, 2}, {0, 1, 2}});
  CHECK(choices(top, golden::matrix(1, 6, {1, 0.0, 2, -0.0, 0.0, 2})) == Rows{{2, 5, 0}});
  CHECK(choices(top, golden::matrix(1, 6, {-1, -0.0, -1, 0.0, -0.0, 0.0})) == Rows{{1, 3, 4}});
  Threshold mass = logit_layer<Threshold>(4, 0.51, 1);
  CHECK(choices(mass, Matrix(1, 4)) == Rows{{0, 1, 2}});
}

TEST_CASE("extreme logits", "[layer][routing]") {
  const float big = std::numeric_limits<float>::max();
  const double inf = std::numeric_limits<double>::infinity();
  TopK top = logit_layer<TopK>(4, 0.5, 2);
  CHECK(choices(top, golden::matrix(1, 4, {-3, -1, -2, -4})) == Rows{{1, 2}});
  CHECK(choices(top, golden::matrix(1, 4, {-1e30, -1e30, -1e30, -1e30})) == Rows{{0, 1}});
  CHECK(choices(top, golden::matrix(1, 4, {1e-40, 2e-40, 0, 1e-41}))[0].size() == 2);
  CHECK(choices(top, golden::matrix(1, 4, {0, -double(big), 0, double(big)}))[0][0] == 3);
  Threshold mass = logit_layer<Threshold>(4, 0.9, 1);
  CHECK(choices(mass, golden::matrix(1, 4, {1e4, 0, 9e3, -1e4})) == Rows{{0}});
  CHECK(choices(mass, golden::matrix(1, 4, {0, -double(big), 0, double(big)})) == Rows{{3}});
  CHECK(choices(mass, golden::matrix(1, 4, {-1e30, -1e30, -1e30, -1e30})) == Rows{{0, 1, 2, 3}});
  // A gate that adds makes -Inf only where the token holds it; 0 * Inf elsewhere would be NaN.
  Threshold one = logit_layer<Threshold>(1, 0.9, 1);
  CHECK(choices(one, golden::matrix(1, 1, {-inf})) == Rows{{}});  // masked
}

TEST_CASE("NaN and Inf: refused by name, or routed on", "[layer][routing]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (double bad : {nan, inf}) {
    Matrix x(3, 4);
    x(1, 2) = bad;
    Threshold layer = logit_layer<Threshold>(4, 0.9, 1);
    const Numbers<float> in(x);
    Numbers<float> y(3, 4);
    y.fill(7.f);
    const Numbers<float> before = y;
    bool thrown = false;
    try {
      layer.forward(in.view(), y.view());
    } catch (const value_error& e) {
      thrown = true;
      const std::string text = e.what();
      INFO(text);
      CHECK(text.find("token 1") != std::string::npos);
    }
    CHECK(thrown);
    CHECK(y == before);  // nothing half-written
    layer.config().router.nonfinite = NonFinite::propagate;
    layer.forward(in.view(), y.view());
    const Rows rows = choices(layer, x);
    CHECK(rows[0] == std::vector<int>{0, 1, 2, 3});
    CHECK(rows[2] == std::vector<int>{0, 1, 2, 3});
    CHECK(!rows[1].empty());
    CHECK(y.view()(0, 0) == y.view()(0, 0));  // other tokens are untouched by it
    CHECK(y.view()(1, 0) != y.view()(1, 0));
  }
}

TEST_CASE("thresholds at both ends, limits", "[layer][routing]") {
  const Matrix z = golden::wave_logits(16, 8);
  Threshold layer = logit_layer<Threshold>(8, 0.9, 1);
  for (float threshold : {-1.f, 0.f, 1e-30f}) {
    layer.config().router.select.threshold = threshold;
    for (const auto& row : choices(layer, z)) {
      CHECK(row.size() == 1);
    }
  }
  layer.config().router.select.threshold = 1.5f;
  for (const auto& row : choices(layer, z)) {
    CHECK(row.size() == 8);
  }
  layer.config().router.select.max_experts = 3;
  for (const auto& row : choices(layer, z)) {
    CHECK(row.size() == 3);
  }
  layer.config().router.select = {.threshold = 1.f};
  for (const auto& row : choices(layer, z)) {
    CHECK(row.size() >= 7);  // a tail expert may be left out by rounding
  }
  // many equal experts: rounding of a long sum must not lose the last ones
  Threshold wide = logit_layer<Threshold>(1000, 0.9, 1);
  const auto rows = choices(wide, Matrix(1, 1000));
  CHECK(std::abs(static_cast<double>(rows[0].size()) - 900.0) <= 2.0);
}

TEST_CASE("a selection bias moves the choice and never the weight", "[layer][routing]") {
  const Matrix z = golden::wave_logits(16, 8);
  TopK layer = logit_layer<TopK>(8, 0.5, 8);  // k = E: the choice cannot move
  const Numbers<float> x(z);
  const auto plain = layer.route(x.view());
  for (const Parameter& p : layer.parameters()) {
    if (p.name == "router.select.bias") {
      CHECK(p.role == Role::remembered);
      for (index e = 0; e < 8; ++e) {
        p.as<float>().at(0, e) = 0.3f * static_cast<float>(e);
      }
    }
  }
  const auto biased = layer.route(x.view());
  for (std::size_t t = 0; t < 16; ++t) {
    double sum = 0.0;
    for (std::size_t i = 8 * t; i < 8 * t + 8; ++i) {
      sum += static_cast<double>(biased.weight()[i]);
      for (std::size_t j = 8 * t; j < 8 * t + 8; ++j) {
        if (plain.expert()[i] == biased.expert()[j]) {
          CHECK(tests::within(static_cast<double>(plain.weight()[i]),
                              static_cast<double>(biased.weight()[j]),
                              tests::tolerance<float>(8, 1.0)));
        }
      }
    }
    CHECK(tests::within(sum, 1.0, 2.0 * 8.0 * 1.2e-7));
  }
  layer.config().router.select.inner.k = 1;
  CHECK(choices(layer, Matrix(1, 8)) == Rows{{7}});
  // scores of (almost) nothing do not divide by zero
  Matrix tiny(1, 8);
  tiny.values.assign(8, -1e4);
  const Numbers<float> low(tiny);
  layer.config().router.select.inner.k = 3;
  const auto faint = layer.route(low.view());
  REQUIRE(faint.assignments() == 3);
  for (float w : faint.weight()) {
    CHECK(w == 0.f);
  }
}

TEST_CASE("apply(route(x)) equals forward bitwise", "[layer][routing]") {
  for (std::uint64_t seed : {1u, 2u}) {
    tests::CaseOptions o;
    o.shape = {45, 6, 18, 11};
    o.router.threshold = 0.7;
    const tests::Case c = tests::random_case(seed, o);
    const Threshold layer = tests::make_layer<Threshold>(c.setup);
    const Numbers<float> x(c.x);
    Numbers<float> y(45, 18);
    Numbers<float> again(45, 18);
    const Summary a = layer.forward(x.view(), y.view());
    const auto routing = layer.route(x.view());
    const Summary b = layer.apply(x.view(), routing, again.view());
    CHECK(y == again);
    CHECK(a.kept == b.kept);
    CHECK(a.wanted == routing.assignments());
    const auto rebuilt =
        Routing<float>::from(6, routing.offsets(), routing.expert(), routing.weight());
    again.fill(-1.f);
    layer.apply(x.view(), rebuilt, again.view());
    CHECK(y == again);
  }
}

TEST_CASE("routings from outside: duplicates add up, wrong ids are refused", "[layer][routing]") {
  const tests::Case c = tests::random_case(3, {.shape = {1, 4, 5, 3}});
  const Threshold layer = tests::make_layer<Threshold>(c.setup);
  const Numbers<float> x(c.x);
  const std::vector<index> offsets = {0, 2};
  const std::vector<float> weights = {0.25f, 0.5f};
  const auto twice = Routing<float>::from(4, offsets, std::vector<std::int32_t>{2, 2}, weights);
  const auto once = Routing<float>::from(4, std::vector<index>{0, 1}, std::vector<std::int32_t>{2},
                                         std::vector<float>{0.75f});
  Numbers<float> a(1, 5);
  Numbers<float> b(1, 5);
  layer.apply(x.view(), twice, a.view());
  layer.apply(x.view(), once, b.view());
  tests::check_close<float>("y", tests::numbers(a.view()), tests::numbers(b.view()), 2);
  CHECK_THROWS_AS(Routing<float>::from(4, offsets, std::vector<std::int32_t>{2, 4}, weights),
                  value_error);
  CHECK_THROWS_AS(Routing<float>::from(4, offsets, std::vector<std::int32_t>{-1, 2}, weights),
                  value_error);
}

}  // namespace
