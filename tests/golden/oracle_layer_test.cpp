// SPDX-License-Identifier: Apache-2.0
// The oracle against the published figures of XMoE: combine, gradients, the whole layer, work; and
// against the router figures (top-2 orders and weights, losses) on the same logits.
#include "golden/wave_figures.hpp"
#include "golden/xmoe_cases.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace {

using namespace reference;
using reference::index;
using tests::half_unit;
using tests::within;

void check_figures(const Vector& got, const Vector& want, int digits) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("number " << i << ": " << got[i] << ", wanted " << want[i]);
    CHECK(within(got[i], want[i], half_unit(digits)));
  }
}
Vector sums(const Stack& stack) {
  Vector sum(static_cast<std::size_t>(stack.count), 0.0);
  for (index e = 0; e < stack.count; ++e) {
    for (index i = 0; i < stack.rows; ++i) {
      for (index j = 0; j < stack.cols; ++j) {
        at(sum, e) += stack(e, i, j);
      }
    }
  }
  return sum;
}

TEST_CASE("oracle: combine and its gradient", "[golden][oracle]") {
  const Matrix features = golden::matrix(4, 2, {1, 0, 0, 1, 1, 1, 2, -1});
  const Matrix x = golden::join(features, golden::logarithms(golden::small_probabilities()));
  Matrix dy(4, 6);
  dy.values.assign(24, 1.0);
  for (double factor : {2.0, 4.0}) {
    Setup s = golden::given_logits(2, 4);
    s.router.threshold = 0.85;
    s.capacity.limited = true;
    s.capacity.factor = factor;
    const bool wide = factor > 2.0;
    const Forward f = forward(s, x);
    const Gradients g = backward(s, x, f, dy);
    Vector y;
    Vector dx;
    Vector dz;
    for (index t = 0; t < 4; ++t) {
      for (index d = 0; d < 6; ++d) {
        (d < 2 ? dx : dz).push_back(g.dx(t, d));
        if (d < 2) {
          y.push_back(f.y(t, d));
        }
      }
    }
    check_figures(y,
                  wide ? Vector{1.45, 0, 0, 1.94, 2.32, 2.32, 7.2, -3.6}
                       : Vector{0.5, 0, 0, 1.84, 2.32, 2.32, 7.2, -3.6},
                  13);
    check_figures(dx,
                  wide ? Vector{1.45, 1.45, 1.94, 1.94, 2.32, 2.32, 3.6, 3.6}
                       : Vector{0.5, 0.5, 1.84, 1.84, 2.32, 2.32, 3.6, 3.6},
                  13);
    Vector want = {0.25,   -0.125,  -0.075, -0.05, -0.184, 0.0992, 0.232, -0.1472,
                   -0.792, -0.1792, 0.2992, 0.672, -0.072, -0.108, -0.18, 0.36};
    if (wide) {
      const Vector rows = {-0.225, 0.1375, 0.2325, -0.145, -0.094, 0.0372, 0.212, -0.1552};
      std::copy(rows.begin(), rows.end(), want.begin());
    }
    check_figures(dz, want, 13);
  }
}

TEST_CASE("oracle: whole layer, forward and backward", "[golden][oracle]") {
  const Matrix x = golden::whole_layer_tokens();
  for (const golden::WholeLayer& figures : golden::whole_layer_figures()) {
    INFO("factor " << figures.factor);
    const Setup s = golden::whole_layer(figures.factor, figures.activation);
    const Forward f = forward(s, x);
    check_figures(row_of(f.scores, 0), {.56615990, .17668305, .09645592, .16070112}, 8);
    CHECK(within(losses(s, f), 0.011041357698, half_unit(12)));
    double loss = losses(s, f);
    for (double v : f.y.values) {
      loss += 0.5 * v * v;
    }
    check_figures(f.y.values, figures.y, 8);
    CHECK(within(loss, figures.loss, half_unit(10)));
    const Gradients g = backward(s, x, f, f.y);
    check_figures(g.dx.values, figures.dx, 8);
    check_figures(g.gate.values, figures.gate, 8);
    check_figures(sums(g.experts.up), figures.up_sums, 8);
    check_figures(sums(g.experts.up_bias), figures.up_bias, 8);
    check_figures(sums(g.experts.down), figures.down_sums, 8);
    check_figures(sums(g.experts.down_bias), figures.down_bias, 8);
  }
}

TEST_CASE("oracle: work", "[golden][oracle]") {
  Setup s = golden::given_logits(0, 8);
  s.router.threshold = 0.7;
  const Matrix z = golden::wave_logits(16, 8);
  s.capacity.limited = true;
  s.capacity.factor = 8;
  const Forward f = route(s, z);
  s.router.weight = Matrix(8, 16);  // the work of a layer of width 16 with hidden width 8
  s.experts.up = Stack(8, 8, 16);
  s.experts.down = Stack(8, 16, 8);
  const Statistics m = statistics(s, f);
  CHECK(m.wanted == 40);
  CHECK(m.kept == 40);
  CHECK(m.flops_router == 4096.0);
  CHECK(m.flops_routed == 20480.0);
  CHECK(m.flops_padded == 65536.0);
}

TEST_CASE("oracle: top-2 weights by every rule", "[golden][oracle]") {
  const Matrix z = golden::wave_logits(4, 8);
  Setup s = golden::given_logits(0, 8);
  s.router.select = Select::top_k;
  s.router.k = 2;
  const std::vector<std::vector<index>> picks = {{1, 2}, {0, 3}, {7, 0}, {2, 6}};
  struct Case {
    Score score;
    Weigh weigh;
    Vector want;
  };
  const Vector normal = {.68418545, .31581455, .51426340, .48573660,
                         .72781506, .27218494, .52483299, .47516701};
  const std::vector<Case> cases = {
      {Score::softmax,
       Weigh::raw,
       {.39707878, .18328840, .24005718, .22674093, .55093886, .20603758, .50503262, .45724038}},
      {Score::softmax, Weigh::normalized, normal},
      {Score::softmax, Weigh::softmax_of_chosen, normal},
      {Score::identity, Weigh::softmax_of_chosen, normal},
      {Score::sigmoid,
       Weigh::raw,
       {.83348693, .69793218, .91750312, .91307929, .90655839, .78393612, .92395607, .91667005}},
      {Score::sigmoid,
       Weigh::normalized,
       {.54425789, .45574211, .50120831, .49879169, .53626817, .46373183, .50197922, .49802078}}};
  for (const Case& c : cases) {
    s.router.score = c.score;
    s.router.weigh = c.weigh;
    const Forward f = route(s, z);
    Vector got;
    for (std::size_t t = 0; t < 4; ++t) {
      CHECK(outputs_of(f.chosen[t]) == picks[t]);
      for (const Claim& claim : f.chosen[t]) {
        got.push_back(claim.weight);
      }
    }
    check_figures(got, c.want, 8);
  }
  // the selection bias of DeepSeek-V3: moves the choice, not the weight
  s.router.score = Score::sigmoid;
  s.router.weigh = Weigh::normalized;
  s.router.k = 3;
  s.router.scale = 2.5;
  for (index e = 0; e < 8; ++e) {
    s.router.selection_bias.push_back(0.1 * std::cos(static_cast<double>(e)));
  }
  const Forward f = route(s, z);
  const std::vector<std::vector<index>> biased = {{1, 7, 2}, {0, 1, 5}, {7, 0, 4}, {6, 2, 0}};
  Vector got;
  for (std::size_t t = 0; t < 4; ++t) {
    CHECK(outputs_of(f.chosen[t]) == biased[t]);
    for (const Claim& claim : f.chosen[t]) {
      got.push_back(claim.weight);
    }
  }
  check_figures(got,
                {.95345981, .74814701, .79839318, .85433300, .82221406, .82345294, .95573294,
                 .82645926, .71780779, 1.15010872, 1.15925020, .19064108},
                8);
}

TEST_CASE("oracle: losses of top-2", "[golden][oracle]") {
  const Matrix z = golden::wave_logits(4, 8);
  Setup s = golden::given_logits(0, 8);
  s.router.select = Select::top_k;
  s.router.k = 2;
  const auto value = [&](Counted counted) {
    s.balance = {{.counted = counted}};
    return losses(s, route(s, z));
  };
  CHECK(within(value(Counted::first_choice), 1.27873986, half_unit(8)));
  CHECK(within(value(Counted::all_claims), 1.19984978, half_unit(8)));
  CHECK(within(value(Counted::all_per_token), 2.39969956, half_unit(8)));
  s.balance.clear();
  s.z_loss = {{}};
  CHECK(within(losses(s, route(s, z)), 9.86966125, half_unit(8)));
  const Vector lse = {2.53416480, 3.83577359, 2.86845011, 3.18048561};
  for (index t = 0; t < 4; ++t) {
    CHECK(within(log_sum_exp(row_of(z, t)), at(lse, t), half_unit(8)));
  }
  check_figures({statistics(s, route(s, z)).entropy}, {1.41169588}, 8);
}

}  // namespace
