// SPDX-License-Identifier: Apache-2.0
// The library against figures for top-2 routers on z_ij = 2.5 sin(1.3 i + 0.7 j^2 + 0.2 i j), 4
// tokens and 8 experts: weights by every rule, a selection bias (DeepSeek-V3 without groups,
// weights checked against its published gate), losses. Formula only, apart from the bias.
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::half_unit;
using tests::index;
using tests::Numbers;

template <class S, class Sel, class W>
using Layer = MoeLayer<Router<gate::Linear, S, Sel, W>, expert::Ffn<activation::Identity>,
                       dispatch::Dropless>;

const double near = 4.0 * 1.2e-7;  // four roundings of a number up to 1

reference::Setup setup_of(index k, double scale = 1.0) {
  reference::Setup s = golden::given_logits(0, 8);
  s.router.k = k;
  s.router.scale = scale;
  return s;
}
void check_routing(const Routing<float>& r, const std::vector<std::int32_t>& ids,
                   const reference::Vector& weights) {
  CHECK(std::vector<std::int32_t>(r.expert().begin(), r.expert().end()) == ids);
  REQUIRE(r.weight().size() == weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    INFO(i << ": " << r.weight()[i] << ", wanted " << weights[i]);
    CHECK(tests::within(static_cast<double>(r.weight()[i]), weights[i], half_unit(8) + near));
  }
}
template <class L>
Routing<float> route(const reference::Setup& s) {
  const L layer = tests::make_layer<L>(s);
  const Numbers<float> x(golden::wave_logits(4, 8));
  return layer.route(x.view());
}

const std::vector<std::int32_t> top_two = {1, 2, 0, 3, 7, 0, 2, 6};
const reference::Vector normalized = {.68418545, .31581455, .51426340, .48573660,
                                      .72781506, .27218494, .52483299, .47516701};

TEST_CASE("top-2 weights over softmax", "[golden]") {
  using namespace weigh;
  const reference::Setup s = setup_of(2);
  check_routing(
      route<Layer<score::Softmax, select::TopK, Raw>>(s), top_two,
      {.39707878, .18328840, .24005718, .22674093, .55093886, .20603758, .50503262, .45724038});
  check_routing(route<Layer<score::Softmax, select::TopK, Normalized>>(s), top_two, normalized);
  check_routing(route<Layer<score::Identity, select::TopK, SoftmaxPicked>>(s), top_two, normalized);
}

TEST_CASE("top-2 weights over sigmoid", "[golden]") {
  const reference::Setup s = setup_of(2);
  check_routing(
      route<Layer<score::Sigmoid, select::TopK, weigh::Raw>>(s), top_two,
      {.83348693, .69793218, .91750312, .91307929, .90655839, .78393612, .92395607, .91667005});
  check_routing(
      route<Layer<score::Sigmoid, select::TopK, weigh::Normalized>>(s), top_two,
      {.54425789, .45574211, .50120831, .49879169, .53626817, .46373183, .50197922, .49802078});
}

TEST_CASE("three of eight by biased sigmoid scores, weights without the bias", "[golden]") {
  reference::Setup s = setup_of(3, 2.5);
  for (index e = 0; e < 8; ++e) {
    s.router.selection_bias.push_back(0.1 * std::cos(static_cast<double>(e)));
  }
  check_routing(route<Layer<score::Sigmoid, select::Biased<select::TopK>, weigh::Normalized>>(s),
                {1, 7, 2, 0, 1, 5, 7, 0, 4, 6, 2, 0},
                {.95345981, .74814701, .79839318, .85433300, .82221406, .82345294, .95573294,
                 .82645926, .71780779, 1.15010872, 1.15925020, .19064108});
}

TEST_CASE("losses and entropy of top-2", "[golden]") {
  using L = Layer<score::Softmax, select::TopK, weigh::Raw>;
  const L layer = tests::make_layer<L>(setup_of(2));
  const Numbers<float> x(golden::wave_logits(4, 8));
  Numbers<float> y(4, 8);
  L::Tape tape = layer.record(x.view(), y.view());
  using namespace loss;
  const auto check = [&](const auto& term, double want) {
    CHECK(tests::within(layer.add_loss(tape, term), want, want * 4.0 * near));
  };
  check(LoadBalance<counting::FirstChoice>{.coefficient = 1.f}, 1.27873986);
  check(LoadBalance<counting::AllPerClaim>{.coefficient = 1.f}, 1.19984978);
  check(LoadBalance<counting::AllPerToken>{.coefficient = 1.f}, 2.39969956);
  check(LoadBalance<counting::AllPerToken, over::SoftmaxOfLogits>{.coefficient = 1.f}, 2.39969956);
  check(ZLoss{.coefficient = 1.f}, 9.86966125);
  CHECK(tests::within(layer.statistics(tape).entropy, 1.41169588, 4.0 * near));
}

}  // namespace
