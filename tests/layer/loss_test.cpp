// SPDX-License-Identifier: Apache-2.0
// Losses and measurements of a layer: closed forms, the oracle, padding.
#include <limits>

#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using reference::Counted;
using reference::Distribution;
using reference::Matrix;
using tests::index;
using tests::Numbers;

using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::TopK>,
                       expert::Ffn<activation::Gelu>, dispatch::Capacity, Cpu<double>>;

/// Value of a loss for given logits and k.
template <class L>
double value_of(const Matrix& logits, index k, const L& loss) {
  reference::Setup s = golden::given_logits(0, logits.cols);
  s.router.k = k;
  const Layer layer = tests::make_layer<Layer>(s);
  const Numbers<double> x(logits);
  Numbers<double> y(logits.rows, logits.cols);
  Layer::Tape tape;
  layer.record(x.view(), y.view(), tape);
  return layer.add_loss(tape, loss);
}
/// Token t wants expert t mod E first, then the next ones, all equally sure.
Matrix balanced(index tokens, index experts, double height) {
  Matrix z(tokens, experts);
  for (index t = 0; t < tokens; ++t) {
    for (index r = 0; r < experts; ++r) {
      z(t, (t + r) % experts) = height * static_cast<double>(experts - r);
    }
  }
  return z;
}

TEST_CASE("balance losses at their two ends", "[layer][loss]") {
  using namespace loss;
  const double close = 1e-13;
  const Matrix even = balanced(24, 6, 0.3);
  for (index k : {1, 2, 4}) {
    INFO("k " << k);
    const double d = static_cast<double>(k);
    CHECK(tests::within(value_of(even, k, LoadBalance<>{.coefficient = 1.f}), 1.0, close));
    CHECK(tests::within(value_of(even, k, LoadBalance<counting::AllPerToken>{.coefficient = 1.f}),
                        d, d * close));
    CHECK(tests::within(value_of(even, k, LoadBalance<counting::AllPerClaim>{.coefficient = 1.f}),
                        1.0, close));
    CHECK(tests::within(
        value_of(even, k,
                 LoadBalance<counting::FirstChoice, over::SoftmaxOfLogits>{.coefficient = 2.f}),
        2.0, close));
  }
  Matrix collapsed(10, 5);
  for (index t = 0; t < 10; ++t) {
    collapsed(t, 3) = 800.0;  // probability 1
  }
  CHECK(value_of(collapsed, 1, LoadBalance<>{.coefficient = 1.f}) == 5.0);
  CHECK(value_of(collapsed, 1, LoadBalance<counting::AllPerClaim>{.coefficient = 1.f}) == 5.0);
  CHECK(tests::within(
      value_of(collapsed, 5, LoadBalance<counting::AllPerToken>{.coefficient = 1.f}), 5.0, close));
}

TEST_CASE("z-loss at zero logits is (ln E)^2", "[layer][loss]") {
  for (index experts : {1, 2, 7, 64}) {
    const double log = std::log(static_cast<double>(experts));
    CHECK(tests::within(value_of(Matrix(5, experts), 1, loss::ZLoss{.coefficient = 1.f}), log * log,
                        tests::tolerance<double>(experts, 1.0 + log * log)));
  }
}

TEST_CASE("no tokens: losses and measurements are 0", "[layer][loss]") {
  CHECK(value_of(Matrix(0, 4), 1, loss::LoadBalance<>{}) == 0.0);
  CHECK(value_of(Matrix(0, 4), 1, loss::ZLoss{}) == 0.0);
}

tests::Case make_case(std::uint64_t seed) {
  tests::CaseOptions o;
  o.shape = {30, 5, 8, 6};
  o.activation = reference::Activation::gelu_tanh;
  o.router.select = reference::Select::top_k;
  o.router.k = 2;
  o.capacity = {true, 1.0, 1, reference::Priority::rank_then_probability, {}};
  return tests::random_case(seed, o);
}

TEST_CASE("losses and their gradients equal the oracle's", "[layer][loss][oracle]") {
  using namespace loss;
  tests::Case c = make_case(1);
  c.setup.balance = {{Counted::first_choice, Distribution::scores, 0.5},
                     {Counted::all_per_token, Distribution::softmax_of_logits, 0.25},
                     {Counted::all_claims, Distribution::scores, 2.0}};
  c.setup.z_loss = {{0.125}};
  Layer layer = tests::make_layer<Layer>(c.setup);
  const auto got = tests::layer_results(
      layer, c, LoadBalance<>{.coefficient = 0.5f},
      LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits>{.coefficient = 0.25f},
      LoadBalance<counting::AllPerClaim>{.coefficient = 2.f}, ZLoss{.coefficient = 0.125f});
  tests::check_against_reference<double>(got, c.setup, c.x, &c.dy);
}

TEST_CASE("measurements equal the oracle's", "[layer][metrics][oracle]") {
  for (std::uint64_t seed : {2u, 3u}) {
    const tests::Case c = make_case(seed);
    const Layer layer = tests::make_layer<Layer>(c.setup);
    const Numbers<double> x(c.x);
    Numbers<double> y(30, 8);
    const Layer::Tape tape = layer.record(x.view(), y.view());
    const Statistics s = layer.statistics(tape);
    const reference::Statistics want =
        reference::statistics(c.setup, reference::route(c.setup, c.x));
    const auto same = [](double a, double b) { return tests::within(a, b, 1e-13 * (1.0 + b)); };
    CHECK(s.summary.wanted == want.wanted);
    CHECK(s.summary.kept == want.kept);
    for (std::size_t e = 0; e < 5; ++e) {
      CHECK(static_cast<double>(s.load[e]) == want.load[e]);
      CHECK(static_cast<double>(s.claims[e]) == want.claims[e]);
      CHECK(
          same(metrics::receive_percent(s, static_cast<index>(e)), 100.0 * want.claims[e] / 30.0));
    }
    CHECK(same(s.wanted_per_token, want.wanted_per_token));
    CHECK(same(s.kept_per_token, want.kept_per_token));
    CHECK(same(s.token_not_full_ratio, want.tokens_not_full));
    CHECK(same(s.token_no_choice_ratio, want.tokens_without));
    CHECK(same(s.expert_not_full_ratio, want.experts_not_full));
    CHECK(same(s.first_choice_drop_percent, 100.0 * want.first_dropped));
    CHECK(same(s.balance_deviation, want.imbalance));
    CHECK(same(s.top_score.mean, want.top_score));
    CHECK(same(s.entropy, want.entropy));
    CHECK(s.entropy <= std::log(5.0));
    CHECK(s.flops_router == want.flops_router);
    CHECK(s.flops_routed == want.flops_routed);
    CHECK(s.flops_wanted == want.flops_wanted);
    CHECK(s.flops_padded == want.flops_padded);
    CHECK(s.summary.dropped > 0);
  }
}

TEST_CASE("padding: as if it were not there, bit for bit", "[layer][loss]") {
  const tests::Case c = make_case(4);
  const Layer layer = tests::make_layer<Layer>(c.setup);
  std::vector<std::uint8_t> valid(30, 1);
  std::vector<index> real;
  for (index t = 0; t < 30; ++t) {
    if (t % 4 == 1 || t > 26) {
      valid[static_cast<std::size_t>(t)] = 0;
    } else {
      real.push_back(t);
    }
  }
  const auto count = static_cast<index>(real.size());
  const auto compact = [&](const Matrix& m) {
    Matrix rows(count, m.cols);
    for (index i = 0; i < count; ++i) {
      reference::set_row(rows, i, reference::row_of(m, real[static_cast<std::size_t>(i)]));
    }
    return rows;
  };
  Numbers<double> x(c.x);
  const Numbers<double> dy(c.dy), few(compact(c.x)), few_dy(compact(c.dy));
  for (index t = 0; t < 30; ++t) {  // padding may hold anything
    for (index d = 0; d < 8 && valid[static_cast<std::size_t>(t)] == 0; ++d) {
      x.view()(t, d) = t % 8 == 1 ? std::numeric_limits<double>::quiet_NaN() : 1e300;
    }
  }
  Numbers<double> y(30, 8), dx(30, 8), few_y(count, 8), few_dx(count, 8);
  y.fill(9.0);
  dx.fill(9.0);
  const auto run = [&](const Batch<double>& batch, const Numbers<double>& up, Numbers<double>& out,
                       Numbers<double>& din, Layer::Gradients& g) {
    Layer::Tape tape;
    const Summary s = layer.record(batch, out.view(), tape);
    double loss = layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 0.5f});
    loss += layer.add_loss(tape, loss::ZLoss{.coefficient = 0.5f});
    layer.backward(tape, up.view(), din.view(), g);
    return std::pair(s, loss);
  };
  Layer::Gradients g = layer.make_gradients();
  Layer::Gradients h = layer.make_gradients();
  const auto masked =
      run(Batch<double>(x.view(), VectorView<const std::uint8_t>{valid.data(), 30}), dy, y, dx, g);
  const auto compacted = run(Batch<double>(few.view()), few_dy, few_y, few_dx, h);
  CHECK(masked.second == compacted.second);
  CHECK(masked.first.tokens == count);
  CHECK(masked.first.kept == compacted.first.kept);
  CHECK(masked.first.capacity == compacted.first.capacity);
  index next = 0;
  for (index t = 0; t < 30; ++t) {
    const bool is_real = valid[static_cast<std::size_t>(t)] != 0;
    for (index d = 0; d < 8; ++d) {
      CHECK(y.view()(t, d) == (is_real ? few_y.view()(next, d) : 0.0));
      CHECK(dx.view()(t, d) == (is_real ? few_dx.view()(next, d) : 0.0));
    }
    next += is_real ? 1 : 0;
  }
  const auto a = tests::tensors_of<double>(g.parameters());
  const auto b = tests::tensors_of<double>(h.parameters());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO(a[i].name);
    CHECK(a[i].values == b[i].values);
  }
}

}  // namespace
