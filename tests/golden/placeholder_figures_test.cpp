// SPDX-License-Identifier: Apache-2.0
// The library against the published figures for XMoE's placeholder expert: output 0 of the router
// is nobody. Kept pairs, skip ratio, balance loss over all outputs.
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/layer_case.hpp"

namespace {

using namespace xmoe;
using tests::index;
using tests::Numbers;

using Layer =
    MoeLayer<Router<gate::Linear, score::Softmax, select::Threshold>,
             expert::Ffn<activation::Identity>, dispatch::WithPlaceholder<dispatch::Capacity>>;

struct Row {
  double threshold, factor;
  std::vector<std::vector<std::pair<index, double>>> kept;  ///< by token, in rank order
  double skip, want, none;
};

TEST_CASE("placeholder: kept pairs and measurements", "[golden]") {
  using K = std::vector<std::vector<std::pair<index, double>>>;
  const std::vector<Row> rows = {
      {0.7, 4, K{{{0, .20}}, {{0, .72}}, {}, {{1, .35}, {3, .20}}}, 0.75, 1.0, 0.25},
      {0.7, 1, K{{}, {{0, .72}}, {}, {{1, .35}, {3, .20}}}, 0.75, 1.0, 0.5},
      {0.9 - 1e-5, 4,  // at 0.9 itself rounding decides: three sums lie on it
       K{{{0, .20}, {1, .10}}, {{0, .72}, {1, .13}, {2, .06}}, {}, {{1, .35}, {3, .20}, {0, .10}}},
       0.75, 2.0, 0.25},
      {-1, 4, K{{}, {{0, .72}}, {}, {{1, .35}}}, 0.5, 0.5, 0.5}};
  const reference::Matrix p = golden::placeholder_probabilities();
  for (const Row& row : rows) {
    INFO("threshold " << row.threshold << ", factor " << row.factor);
    reference::Setup s = golden::given_logits(1, 5, true);
    s.router.threshold = row.threshold;
    s.capacity.limited = true;
    s.capacity.factor = row.factor;
    const Layer layer = tests::make_layer<Layer>(s);
    reference::Matrix ones(4, 1);
    ones.values.assign(4, 1.0);
    const Numbers<float> x(golden::join(ones, golden::logarithms(p)));
    Numbers<float> y(4, 6);
    Layer::Tape tape;
    layer.record(x.view(), y.view(), tape);
    const auto& routing = tape.decision().routing;
    for (index t = 0; t < 4; ++t) {
      std::vector<std::pair<index, double>> kept;
      double output = 0.0;  // expert e multiplies the feature 1 by e + 1
      for (index a = routing.begin(t); a < routing.end(t); ++a) {
        if (tape.plan().row[a] >= 0) {
          kept.emplace_back(routing.expert[a] - 1, static_cast<double>(routing.weight[a]));
        }
      }
      const auto& want = row.kept[static_cast<std::size_t>(t)];
      REQUIRE(kept.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        CHECK(kept[i].first == want[i].first);
        CHECK(tests::within(kept[i].second, want[i].second, tests::tolerance<float>(5, 1.0)));
        output += want[i].second * static_cast<double>(want[i].first + 1);
      }
      CHECK(tests::within(static_cast<double>(y.view()(t, 0)), output,
                          tests::tolerance<float>(9, 1.0)));
    }
    const Statistics m = layer.statistics(tape);
    CHECK(m.skip_ratio == row.skip);
    CHECK(m.wanted_per_token == row.want);
    CHECK(m.token_no_choice_ratio == row.none);
    CHECK(tests::within(layer.add_loss(tape, loss::LoadBalance<>{.coefficient = 1.f}), 1.678125,
                        tests::tolerance<float>(5, 1.7)));
  }
}

}  // namespace
