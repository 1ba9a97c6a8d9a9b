// SPDX-License-Identifier: Apache-2.0
// The library against the published figures of XMoE for the routing: choice, capacity by every
// order, measurements, losses, exact boundaries; in float.
#include "golden/wave_figures.hpp"
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using golden::Lists;
using tests::half_unit;
using tests::index;
using tests::Numbers;

template <class P>
using Layer = MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
                       expert::Ffn<activation::Identity>, dispatch::CapacityBy<P>>;
using Default = Layer<priority::RankThenProbability>;

const double near = 4.0 * 1.2e-7;  // four roundings of a probability

template <class L>
L make(index experts, double threshold, double factor) {
  reference::Setup s = golden::given_logits(0, experts);
  s.router.threshold = threshold;
  s.capacity.limited = true;
  s.capacity.factor = factor;
  return tests::make_layer<L>(s);
}
Lists chosen(const Default& layer, const reference::Matrix& logits,
             reference::Vector* weights = {}) {
  const Numbers<float> x(logits);
  const auto r = layer.route(x.view());
  Lists lists;
  for (std::size_t t = 0; t < static_cast<std::size_t>(logits.rows); ++t) {
    lists.emplace_back();
    for (auto a = r.offsets()[t]; a < r.offsets()[t + 1]; ++a) {
      lists.back().push_back(r.expert()[static_cast<std::size_t>(a)]);
      if (weights != nullptr) {
        weights->push_back(static_cast<double>(r.weight()[static_cast<std::size_t>(a)]));
      }
    }
  }
  return lists;
}
/// Kept tokens of every expert in ascending order; sum of kept weights.
template <class L>
Lists kept(const L& layer, const reference::Matrix& logits, double* weight = nullptr) {
  const Numbers<float> x(logits);
  Numbers<float> y(logits.rows, logits.cols);
  typename L::Tape tape;
  layer.record(x.view(), y.view(), tape);
  const PlanView& plan = tape.plan();
  Lists lists;
  for (index e = 0; e < plan.experts; ++e) {
    lists.emplace_back(plan.token + plan.expert_offsets[e],
                       plan.token + plan.expert_offsets[e + 1]);
  }
  if (weight != nullptr) {
    for (index m = 0; m < plan.kept; ++m) {
      *weight += static_cast<double>(tape.decision().routing.weight[plan.assignment[m]]);
    }
  }
  return lists;
}
Lists ascending(Lists lists) {
  for (auto& list : lists) {
    std::sort(list.begin(), list.end());
  }
  return lists;
}
reference::Matrix small_logits() { return golden::logarithms(golden::small_probabilities()); }

TEST_CASE("choice by threshold", "[golden]") {
  const std::vector<std::pair<double, Lists>> cases = {
      {-1.0, {{0}, {1}, {0}, {3}}},
      {0.0, {{0}, {1}, {0}, {3}}},
      {0.6, {{0, 1}, {1}, {0, 1, 2}, {3}}},
      {0.85, {{0, 1, 2}, {1, 2, 0}, {0, 1, 2, 3}, {3}}},
      {1.0, {{0, 1, 2, 3}, {1, 2, 0, 3}, {0, 1, 2, 3}, {3, 2, 1, 0}}}};
  for (const auto& [threshold, want] : cases) {
    INFO("threshold " << threshold);
    const Default layer = make<Default>(4, threshold, 4);
    reference::Vector weights;
    CHECK(chosen(layer, small_logits(), &weights) == want);
    std::size_t place = 0;
    for (std::size_t t = 0; t < 4; ++t) {
      for (index e : want[t]) {
        CHECK(tests::within(weights[place++],
                            golden::small_probabilities()(static_cast<index>(t), e), near));
      }
    }
  }
}

TEST_CASE("capacity by every order", "[golden]") {
  using P = reference::Priority;
  struct Row {
    double threshold, factor;
    P priority;
    Lists want;
  };
  const std::vector<Row> rows = {
      {0.85, 1, P::rank_then_probability, {{0}, {1}, {1}, {3}}},
      {0.85, 1, P::probability, {{0}, {1}, {2}, {3}}},
      {0.85, 1, P::rank_then_token, {{0}, {1}, {1}, {3}}},
      {0.85, 2, P::rank_then_probability, {{0, 2}, {1, 2}, {1, 2}, {3, 2}}},
      {0.85, 2, P::probability, {{0, 2}, {1, 2}, {2, 1}, {3, 2}}},
      {0.85, 2, P::rank_then_token, {{0, 2}, {1, 0}, {1, 0}, {3, 2}}},
      {0.85, 4, P::rank_then_probability, {{0, 2, 1}, {1, 2, 0}, {1, 2, 0}, {3, 2}}},
      {0.6, 1, P::rank_then_probability, {{0}, {1}, {2}, {3}}},
      {-1, 1, P::rank_then_probability, {{0}, {1}, {}, {3}}}};
  const auto run = [&](const Row& r) {
    if (r.priority == P::probability) {
      return kept(make<Layer<priority::Probability>>(4, r.threshold, r.factor), small_logits());
    }
    if (r.priority == P::rank_then_token) {
      return kept(make<Layer<priority::RankThenToken>>(4, r.threshold, r.factor), small_logits());
    }
    return kept(make<Default>(4, r.threshold, r.factor), small_logits());
  };
  for (const Row& r : rows) {
    INFO("threshold " << r.threshold << ", factor " << r.factor << ", priority "
                      << static_cast<int>(r.priority));
    CHECK(run(r) == ascending(r.want));
  }
  const reference::Matrix z = golden::wave_logits(16, 8);
  for (const golden::WaveCapacity& c : golden::wave_capacities()) {
    INFO("factor " << c.factor << ", priority " << static_cast<int>(c.priority));
    double sum = 0.0;
    Lists got;
    if (c.priority == P::probability) {
      got = kept(make<Layer<priority::Probability>>(8, 0.7, c.factor), z);
    } else if (c.priority == P::rank_then_token) {
      got = kept(make<Layer<priority::RankThenToken>>(8, 0.7, c.factor), z);
    } else {
      got = kept(make<Default>(8, 0.7, c.factor), z, &sum);
    }
    CHECK(got == ascending(c.kept));
    CHECK((c.weight == 0.0 || sum == 0.0 || tests::within(sum, c.weight, 40 * near)));
  }
}

TEST_CASE("measurements and losses", "[golden]") {
  const Numbers<float> x(small_logits());
  Numbers<float> y(4, 4);
  for (double factor : {1.0, 2.0}) {
    const Default layer = make<Default>(4, 0.85, factor);
    Default::Tape tape = layer.record(x.view(), y.view());
    const Statistics s = layer.statistics(tape);
    CHECK(s.wanted_per_token == 2.75);
    for (index e = 0; e < 4; ++e) {
      CHECK(metrics::receive_percent(s, e) == (e < 3 ? 75.0 : 50.0));
    }
    CHECK(tests::within(s.balance_deviation, 0.7071067812, half_unit(10)));
    CHECK(tests::within(s.top_score.mean, 0.58, near));
    CHECK(s.kept_per_token == factor);
    CHECK(s.token_not_full_ratio == (factor == 1.0 ? 0.75 : 0.5));
    CHECK(s.expert_not_full_ratio == 0.0);
    CHECK(s.first_choice_drop_percent == (factor == 1.0 ? 25.0 : 0.0));
    CHECK(tests::within(layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 1.f}), 1.075,
                        2.0 * near));
    CHECK(tests::within(
        layer.add_loss(tape, loss::LoadBalance<loss::counting::AllPerClaim>{.coefficient = 1.f}),
        0.9745454545, 2.0 * near));
  }
  // the gradient of the balance loss, at the logits (= the tokens of this layer)
  const Default layer = make<Default>(4, 0.6, 4);
  Default::Tape tape = layer.record(x.view(), y.view());
  layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 1.f});
  Numbers<float> dy(4, 4), dx(4, 4);
  auto g = layer.make_gradients();
  layer.backward(tape, dy.view(), dx.view(), g);
  const std::vector<double> want = {0.08125, -0.021875, -0.050625, -0.00875, 0.0275,  0.0155,
                                    -0.045,  0.002,     0.069,     -0.0056,  -0.0594, -0.004,
                                    0.00515, 0.000225,  -0.012125, 0.00675};
  const auto got = tests::numbers(dx.view());
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(tests::within(got[i], want[i], near));
  }
}

TEST_CASE("exact boundaries and saturation", "[golden]") {
  const std::vector<std::pair<double, index>> cases = {{0.25, 1}, {0.26, 2}, {0.5, 2}, {0.51, 3},
                                                       {0.75, 3}, {0.76, 4}, {1.0, 4}};
  for (const auto& [threshold, count] : cases) {
    const Lists got = chosen(make<Default>(4, threshold, 4), reference::Matrix(1, 4));
    REQUIRE(static_cast<index>(got[0].size()) == count);
    for (index r = 0; r < count; ++r) {
      CHECK(got[0][static_cast<std::size_t>(r)] == r);
    }
  }
  const auto one = golden::matrix(1, 4, {200, 0, 0, 0});
  CHECK(chosen(make<Default>(4, 1.0, 4), one)[0].size() == 1);
}

TEST_CASE("sixteen tokens, eight experts", "[golden]") {
  const reference::Matrix z = golden::wave_logits(16, 8);
  reference::Vector weights;
  const Lists got = chosen(make<Default>(8, 0.7, 8), z, &weights);
  const Lists high = chosen(make<Default>(8, 0.9, 8), z);
  const auto want = golden::wave_choices();
  std::size_t place = 0;
  for (std::size_t t = 0; t < 16; ++t) {
    REQUIRE(got[t].size() == want[t].size());
    CHECK(static_cast<index>(high[t].size()) == golden::wave_counts_high()[t]);
    for (std::size_t r = 0; r < want[t].size(); ++r) {
      CHECK(got[t][r] == want[t][r].first);
      CHECK(tests::within(weights[place++], want[t][r].second, half_unit(6) + near));
    }
  }
  CHECK(kept(make<Default>(8, 0.9, 2), z) == kept(make<Default>(8, 0.7, 2), z));
  double sum = 0.0;
  std::size_t count = 0;
  for (const auto& list : kept(make<Default>(8, 0.9, 4), z, &sum)) {
    count += list.size();
  }
  CHECK(count == 61);
  CHECK(tests::within(sum, 14.6791896619, 61 * near));
  sum = 0.0;
  const Lists first = kept(make<Default>(8, -1, 1), z, &sum);
  CHECK(first[4].empty());
  CHECK(tests::within(sum, 5.7290513944, 11 * near));
}

TEST_CASE("capacity arithmetic", "[golden]") {
  const auto c = [](index tokens, index experts, double factor, index minimum) {
    return dispatch::Capacity{.factor = factor, .minimum = minimum}.capacity(Mode::train, tokens,
                                                                             experts);
  };
  CHECK(c(16384, 64, 8, 4) == 2048);
  CHECK(c(16384, 8, 1, 4) == 2048);
  CHECK(c(16384, 128, 8, 4) == 1024);
  CHECK(c(16384, 128, 4, 4) == 512);
  CHECK(c(100, 3, 1, 4) == 34);
  CHECK(c(7, 4, 1.25, 1) == 3);
  CHECK(c(4, 4, 1, 4) == 4);
  CHECK(c(10, 8, 8, 4) == 10);
  CHECK(c(3, 8, 1, 4) == 3);
}

}  // namespace
