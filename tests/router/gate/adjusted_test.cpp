// SPDX-License-Identifier: Apache-2.0
// gate::Adjusted and the adjustments of router/adjust.
#include <xmoe/router/gate/adjusted.hpp>

#include <cmath>

#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using namespace xmoe::adjust;
using Row = std::vector<double>;

template <class P>
Row adjusted(const P& policy, Row logits, RowSite site) {
  policy.row(site, tests::out(logits));
  return logits;
}
template <class P>
Row pulled(const P& policy, Row dlogits, RowSite site) {
  policy.row_backward(site, tests::out(dlogits));
  return dlogits;
}
constexpr double inf = std::numeric_limits<double>::infinity();
const RowSite training{.token = 3, .mode = Mode::train, .random = {.seed = 5}};

TEST_CASE("temper: divides, and so does the gradient", "[router][adjust]") {
  CHECK(adjusted(Temper{0.5f}, {1, -3, -inf}, {}) == Row{2, -6, -inf});
  CHECK(pulled(Temper{4.f}, {1, -3, 8}, {}) == Row{0.25, -0.75, 2});
  for (const float t : {0.f, -1.f, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THROWS_AS(Temper{t}.check({1, 1, 1}), value_error);
  }
}

TEST_CASE("noise: while training, by token and expert", "[router][adjust]") {
  const Row zeros(64, 0.0);
  for (const Row& noise :
       {adjusted(GaussNoise{}, zeros, training), adjusted(GumbelNoise{}, zeros, training)}) {
    CHECK(noise != zeros);
    CHECK(std::abs(noise[0] - noise[1]) > 1e-9);
  }
  RowSite other = training;
  other.token = 4;
  CHECK(adjusted(GaussNoise{}, zeros, other) != adjusted(GaussNoise{}, zeros, training));
  RowSite rest = training;
  rest.mode = Mode::infer;
  CHECK(adjusted(GaussNoise{}, zeros, rest) == zeros);
  CHECK(adjusted(GumbelNoise{}, zeros, rest) == zeros);
  CHECK(adjusted(GumbelNoise{true}, zeros, rest) == adjusted(GumbelNoise{}, zeros, training));
  // linear in the deviation
  const Row one = adjusted(GaussNoise{}, zeros, training);
  const Row two = adjusted(GaussNoise{2.f}, zeros, training);
  for (std::size_t e = 0; e < one.size(); ++e) {
    CHECK(two[e] == 2.0 * one[e]);
  }
  CHECK_THROWS_AS(GaussNoise{-1.f}.check({1, 1, 1}), value_error);
}

TEST_CASE("gumbel noise: the largest is a draw from the softmax", "[router][adjust]") {
  const Row z = {1.0, 0.0, -1.0, 0.5};
  const Row p = tests::scores_of(score::Softmax{}, z);
  Row share(z.size(), 0.0);
  const index draws = 20000;
  RowSite site = training;
  for (site.token = 0; site.token < draws; ++site.token) {
    const Row noisy = adjusted(GumbelNoise{}, z, site);
    share[static_cast<std::size_t>(std::max_element(noisy.begin(), noisy.end()) - noisy.begin())] +=
        1.0 / static_cast<double>(draws);
  }
  for (std::size_t e = 0; e < z.size(); ++e) {
    CHECK(std::abs(share[e] - p[e]) < 4.0 * std::sqrt(p[e] / static_cast<double>(draws)));
  }
  CHECK(std::abs(share[0] - p[1]) > 0.1);  // twin
}

TEST_CASE("expert dropout: the share, and the same in backward", "[router][adjust]") {
  const ExpertDropout drop{0.25f};
  index masked = 0;
  RowSite site = training;
  for (site.token = 0; site.token < 1000; ++site.token) {
    const Row z = adjusted(drop, Row(16, 1.0), site);
    const Row g = pulled(drop, Row(16, 1.0), site);
    for (std::size_t e = 0; e < z.size(); ++e) {
      CHECK((z[e] == 1.0 || z[e] == -inf));
      CHECK((z[e] == 1.0) == (g[e] == 1.0));
      masked += z[e] == 1.0 ? 0 : 1;
    }
  }
  CHECK(std::abs(static_cast<double>(masked) / 16000.0 - 0.25) < 0.02);
  site.mode = Mode::infer;
  CHECK(adjusted(drop, Row(16, 1.0), site) == Row(16, 1.0));
  CHECK_THROWS_AS(ExpertDropout{1.f}.check({1, 1, 1}), value_error);
}

/// Gate weights = identity: a token's x is its logits.
template <class Select, class Change>
auto layer_of(const Change& change, const Select& select = {}) {
  using Layer = MoeLayer<Router<gate::Adjusted<gate::Linear, Change>, score::Softmax, Select>,
                         expert::Ffn<activation::Gelu>, dispatch::Dropless, Cpu<double>>;
  Layer layer({4, 4, 3}, {.router = {.gate = {{}, change}, .select = select}}, cpu::Backend(2));
  layer.initialize({.seed = 2});
  layer.parameters().front().template as<double>().load(
      Row{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
  return layer;
}
const Row tokens = {3, 2, 1, 0, 0, 1, 2, 3, 1, 3, 0, 2};
const std::int32_t ids[] = {1, 0, 2};

TEST_CASE("mask: by id, by all, and nobody left", "[router][adjust]") {
  const std::uint8_t allowed[] = {1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0};
  const auto layer = layer_of<select::TopK>(Mask{{allowed, 3, 4}}, select::TopK{2});
  Batch<double> batch(MatrixView<const double>(tokens.data(), 3, 4), {}, {ids, 3});
  const auto routing = layer.route(batch);
  using Ids = std::vector<std::int32_t>;
  CHECK(Ids(routing.expert().begin(), routing.expert().end()) == Ids{1, 2, 1, 0});
  CHECK(std::vector<index>(routing.offsets().begin(), routing.offsets().end()) ==
        std::vector<index>{0, 2, 4, 4});  // token 2 has none
  CHECK(routing.weight()[0] == Approx(std::exp(2.0) / (std::exp(2.0) + std::exp(1.0) + 1.0)));
  Row y(12, 7.0);
  Row dx(12, 7.0);
  auto tape = layer.record(batch, MatrixView<double>(y.data(), 3, 4));
  CHECK(layer.statistics(tape).token_no_choice_ratio == Approx(1.0 / 3.0));
  auto gradients = layer.make_gradients();
  layer.backward(tape, MatrixView<const double>(tokens.data(), 3, 4),
                 MatrixView<double>(dx.data(), 3, 4), gradients);
  for (index d = 8; d < 12; ++d) {
    CHECK(y[static_cast<std::size_t>(d)] == 0.0);
    CHECK(dx[static_cast<std::size_t>(d)] == 0.0);
  }
  // one row is every token's
  const auto one = layer_of<select::TopK>(Mask{{allowed + 4, 1, 4}}, select::TopK{2});
  const auto shared = one.route(batch);
  CHECK(Ids(shared.expert().begin(), shared.expert().end()) == Ids{1, 2, 3, 2, 1, 3});
}

TEST_CASE("mask: errors", "[router][adjust]") {
  const std::uint8_t allowed[12] = {};
  auto layer = layer_of<select::TopOne>(Mask{{allowed, 2, 4}});
  Batch<double> batch(MatrixView<const double>(tokens.data(), 3, 4), {}, {ids, 3});
  CHECK(tests::message_of<value_error>([&] { layer.route(batch); }) ==
        "xmoe::adjust::Mask: the id of token 2 is 2, allowed has 2 rows");
  layer.config().router.gate.adjust.allowed = {allowed, 4, 3};
  CHECK(tests::message_of<shape_error>([&] { layer.route(batch); }) ==
        "xmoe::adjust::Mask: allowed has 3 columns, there are 4 experts");
}

/// Largest error of dx against central differences, with the choice as it is.
template <class Layer>
double gradient_error(const Layer& layer, double factor = 1.0) {
  Row x = tokens;
  const Row g = {1, -2, 0.5, 1, 2, -1, 1, 0.25, -1, 1, 2, 1};
  const Random random{.seed = 9};
  const auto y_of = [&](typename Layer::Tape& tape) {
    Row y(12);
    layer.record(MatrixView<const double>(x.data(), 3, 4), MatrixView<double>(y.data(), 3, 4), tape,
                 random);
    return y;
  };
  const auto objective = [&] {
    typename Layer::Tape tape;
    const Row y = y_of(tape);
    double value = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      value += g[i] * y[i];
    }
    return value;
  };
  typename Layer::Tape tape;
  y_of(tape);
  Row dx(12);
  auto gradients = layer.make_gradients();
  layer.backward(tape, MatrixView<const double>(g.data(), 3, 4),
                 MatrixView<double>(dx.data(), 3, 4), gradients);
  for (double& v : dx) {
    v *= factor;
  }
  return tests::relative_error(dx, tests::slopes(objective, x));
}

TEST_CASE("adjusted: gradients through a layer", "[router][adjust]") {
  const std::uint8_t allowed[] = {1, 0, 1, 1};
  CHECK(gradient_error(layer_of<select::All>(Temper{3.f})) < 1e-7);
  CHECK(gradient_error(layer_of<select::All>(GaussNoise{0.5f})) < 1e-7);
  CHECK(gradient_error(layer_of<select::All>(GumbelNoise{})) < 1e-7);
  CHECK(gradient_error(layer_of<select::All>(ExpertDropout{0.3f})) < 1e-7);
  CHECK(gradient_error(layer_of<select::All>(Mask{{allowed, 1, 4}})) < 1e-7);
  CHECK(gradient_error(layer_of<select::All>(Temper{3.f}), 1.01) > 1e-3);  // twin
}

TEST_CASE("adjusted: padding stays as the gate left it", "[router][adjust]") {
  const std::uint8_t valid[] = {1, 0, 1};
  const auto layer = layer_of<select::All>(Temper{0.5f});
  Batch<double> batch(MatrixView<const double>(tokens.data(), 3, 4), {valid, 3});
  const auto routing = layer.route(batch);
  CHECK(routing.offsets()[1] == routing.offsets()[2]);
  CHECK(routing.weight()[0] == Approx(tests::scores_of(score::Softmax{}, Row{6, 4, 2, 0})[0]));
}

}  // namespace
}  // namespace xmoe
