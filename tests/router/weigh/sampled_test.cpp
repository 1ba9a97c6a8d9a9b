// SPDX-License-Identifier: Apache-2.0
// select::Draw, weigh::Midpoint, weigh::Heun and NearBest: one estimator in parts.
#include <xmoe/router/weigh/sampled.hpp>

#include <cmath>

#include "golden/wave_figures.hpp"
#include "support/catch.hpp"
#include "support/policy_case.hpp"

namespace xmoe {
namespace {

using Row = std::vector<double>;
using Ids = std::vector<std::int32_t>;

// Logits, exponential draws and second numbers of the figures: functions of token and expert.
double wave(index i, index j) {
  const auto a = static_cast<double>(i), b = static_cast<double>(j);
  return 2.5 * std::sin(1.3 * a + 0.7 * b * b + 0.2 * a * b);
}
Row wave_row(index i) {
  Row z;
  for (index j = 0; j < 8; ++j) {
    z.push_back(wave(i, j));
  }
  return z;
}
struct Table {
  index token;
  double operator()(index, index e) const {
    return -std::log(0.2 + std::abs(std::sin(3.0 * static_cast<double>(token) +
                                             5.0 * static_cast<double>(e) + 1.0)));
  }
};
struct Second {
  index token;
  double operator()(index rank) const {
    const double u[2][4] = {{.3, .4, .2, .9}, {.8, .5, .9, .1}};
    return u[rank][token];
  }
};
const RowSite training{.mode = Mode::train};

Ids near_ids(const Row& z, double margin, const Ids& taken = {}) {
  const NearBest<double> near(tests::in(z), tests::in(taken), margin);
  Ids ids;
  for (std::int32_t e = 0; e < static_cast<std::int32_t>(z.size()); ++e) {
    if (near.contains(e)) {
      ids.push_back(e);
    }
  }
  return ids;
}
Ids drawn(const Row& z, index k, float margin, index token, Mode mode = Mode::train) {
  Ids ids(static_cast<std::size_t>(k));
  std::vector<Candidate<double>> candidates(z.size());
  Row scratch(z.size());
  const SelectRow<double> row{tests::in(z),           {},           tests::out(ids),
                              tests::out(candidates), tests::in(z), tests::out(scratch),
                              {.mode = mode}};
  ids.resize(static_cast<std::size_t>(select::Draw{margin, k}.choose(row, Table{token})));
  return ids;
}
template <class W>
Row multipliers(const W& weigh, const Row& z, const Ids& ids, index token) {
  Row w(ids.size());
  weigh.fill(WeighRow<double>{tests::in(z), tests::in(z), tests::in(ids), training}, tests::out(w),
             Second{token});
  return w;
}
template <class W>
Row pulled(const W& weigh, const Row& z, const Ids& ids, const Row& g) {
  Row dz(z.size(), 0.0), ds(z.size(), 0.0);
  weigh.row_backward(WeighRow<double>{tests::in(z), tests::in(z), tests::in(ids), training}, {},
                     tests::in(g), tests::out(ds), tests::out(dz));
  CHECK(ds == Row(z.size(), 0.0));
  return dz;
}
void check_figures(const Row& got, const Row& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i] == Approx(want[i]).margin(1e-8).epsilon(0));
  }
}

TEST_CASE("near best: figures", "[router][sampled]") {
  const std::vector<Ids> small = {{1}, {0, 1, 3, 5}, {7}, {2, 6}};
  const std::vector<Ids> large = {{1, 2}, {0, 1, 3, 4, 5, 6}, {0, 7}, {2, 6}};
  for (index t = 0; t < 4; ++t) {
    CHECK(near_ids(wave_row(t), 0.1) == small[static_cast<std::size_t>(t)]);
    CHECK(near_ids(wave_row(t), 0.25) == large[static_cast<std::size_t>(t)]);
  }
  CHECK(near_ids({0, 0, 0}, 0.0) == Ids{0, 1, 2});      // 0/0 is inside
  CHECK(near_ids({-1, -1, -2}, 0.1) == Ids{0, 1});      // all negative
  CHECK(near_ids({-1, -1, -2}, 0.25) == Ids{0, 1, 2});  // (m - z) / |z| = 1/2
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(near_ids({-inf, nan, 1}, 10.0) == Ids{2});
  CHECK(near_ids({-inf, nan}, 10.0).empty());
}

// V*: compared with the authors' code (microsoft/SparseMixer at 1b41d56) under the same draws.
TEST_CASE("midpoint: figures", "[router][sampled]") {
  const Row g = {1, 2, 3, -1};
  const std::vector<Ids> picks = {{1}, {3}, {7}, {6}};
  const Row small = {1, .14264948, 1, .47516701},
            large = {.68418545, .11407702, .72781506, .47516701};
  for (index t = 0; t < 4; ++t) {
    const auto i = static_cast<std::size_t>(t);
    const Row z = wave_row(t);
    CHECK(drawn(z, 1, 0.1f, t) == picks[i]);
    CHECK(drawn(z, 1, 0.25f, t) == picks[i]);
    check_figures(multipliers(weigh::Midpoint{0.1f}, z, picks[i], t), {small[i]});
    check_figures(multipliers(weigh::Midpoint{0.25f}, z, picks[i], t), {large[i]});
  }
  check_figures(pulled(weigh::Midpoint{0.1f}, wave_row(1), {3}, {g[1]}),
                {-.34470305, -.23393163, 0, .81561384, 0, -.23697916, 0, 0});
  check_figures(pulled(weigh::Midpoint{0.25f}, wave_row(1), {3}, {g[1]}),
                {-.22044541, -.14960458, 0, .70439908, -.10570784, -.15155354, -.07708771, 0});
  check_figures(pulled(weigh::Midpoint{0.1f}, wave_row(3), {6}, {g[3]}),
                {0, 0, .49876664, 0, 0, 0, -.49876664, 0});
  CHECK(multipliers(weigh::Heun{0.1f}, wave_row(1), {3}, 1)[0] != Approx(.14264948));  // twin
}

TEST_CASE("heun: figures", "[router][sampled]") {
  const std::vector<Ids> second = {{2}, {0, 1, 5}, {0}, {2}};
  const std::vector<Ids> second_large = {{2, 7}, {0, 1, 4, 5, 6}, {0, 4}, {2}};
  const std::vector<Ids> picks = {{1, 2}, {3, 1}, {7, 0}, {6, 2}};
  const std::vector<Row> small = {{1, 1}, {.09509014, .09559599}, {1, 1}, {.47516701, 1}};
  const std::vector<Row> large = {
      {.68418545, .55002322}, {.07604374, .07078829}, {.72781506, .62970641}, {.47516701, 1}};
  const std::vector<Ids> best = {{1, 2}, {0, 3}, {7, 0}, {2, 6}};
  const std::vector<Row> best_small = {{1, 1}, {.30205426, .40876953}, {1, 1}, {.52483299, 1}};
  for (index t = 0; t < 4; ++t) {
    const auto i = static_cast<std::size_t>(t);
    const Row z = wave_row(t);
    CHECK(near_ids(z, 0.1, {picks[i][0]}) == second[i]);
    CHECK(near_ids(z, 0.25, {picks[i][0]}) == second_large[i]);
    CHECK(drawn(z, 2, 0.1f, t) == picks[i]);
    CHECK(drawn(z, 2, 0.25f, t) == picks[i]);
    check_figures(multipliers(weigh::Heun{0.1f}, z, picks[i], t), small[i]);
    check_figures(multipliers(weigh::Heun{0.25f}, z, picks[i], t), large[i]);
    CHECK(drawn(z, 2, 0.1f, t, Mode::infer) == best[i]);
    check_figures(tests::weights_by(weigh::Heun{0.1f}, z, z, best[i]), best_small[i]);
  }
  check_figures(pulled(weigh::Heun{0.1f}, wave_row(1), {3, 1}, {2, -1}),
                {-.05113415, -.32151867, 0, .40780692, 0, -.03515410, 0, 0});
  check_figures(pulled(weigh::Heun{0.25f}, wave_row(1), {3, 1}, {2, -1}),
                {-.04375535, -.24208053, 0, .35219954, -.02098154, -.03008127, -.01530084, 0});
  check_figures(pulled(weigh::Heun{0.1f}, wave_row(3), {6, 2}, {-1, 2}),
                {0, 0, .24938332, 0, 0, 0, -.24938332, 0});
}

/// Mean over draws of the estimated gradient of sum_D p_D-weighted f: E[g dw/dz] with g = f'(w).
template <class W>
Row mean_gradient(const W& weigh, const Row& z, const Row& value, index draws) {
  Row mean(z.size(), 0.0);
  std::vector<Candidate<double>> candidates(z.size());
  Row scratch(z.size());
  for (index t = 0; t < draws; ++t) {
    const RowSite site{.token = t, .mode = Mode::train, .random = {.seed = 11}};
    Ids ids(1);
    const SelectRow<double> row{
        tests::in(z),        {},  tests::out(ids), tests::out(candidates), tests::in(z),
        tests::out(scratch), site};
    REQUIRE(select::Draw{100.f, 1}.row(row) == 1);
    const WeighRow<double> chosen{tests::in(z), tests::in(z), tests::in(ids), site};
    Row w(1), ds(z.size(), 0.0), dz(z.size(), 0.0);
    weigh.row(chosen, tests::out(w));
    // loss = a w^2 / 2 for the drawn expert's output scaled by w: its slope depends on the step
    const Row g = {value[static_cast<std::size_t>(ids[0])] * w[0]};
    weigh.row_backward(chosen, tests::in(w), tests::in(g), tests::out(ds), tests::out(dz));
    for (std::size_t e = 0; e < z.size(); ++e) {
      mean[e] += dz[e] / static_cast<double>(draws);
    }
  }
  return mean;
}

TEST_CASE("midpoint and heun: the mean of many draws is their formula", "[router][sampled]") {
  const Row z = {0.3, -0.2, 0.1}, value = {1.0, -2.0, 0.5};
  const Row p = tests::scores_of(score::Softmax{}, z);
  const index draws = 40000;
  const auto want = [&](double above, double part, double slope) {
    Row result(z.size(), 0.0);
    for (std::size_t d = 0; d < z.size(); ++d) {
      const double whole = d == 0 ? 1.0 : 1.0 - above;  // the best always takes the whole step
      const double mean_weight = p[d] * (whole + (1.0 - whole) * part);
      for (std::size_t e = 0; e < z.size(); ++e) {
        result[e] += p[d] * slope * value[d] * mean_weight * p[d] * ((e == d ? 1.0 : 0.0) - p[e]);
      }
    }
    return result;
  };
  const Row midpoint = mean_gradient(weigh::Midpoint{100.f}, z, value, draws);
  const Row heun = mean_gradient(weigh::Heun{100.f}, z, value, draws);
  for (std::size_t e = 0; e < z.size(); ++e) {
    CHECK(std::abs(midpoint[e] - want(0.5, 0.5, 2.0)[e]) < 3e-3);
    CHECK(std::abs(heun[e] - want(0.75, 0.3333, 1.0)[e]) < 3e-3);
  }
  CHECK(std::abs(midpoint[1] - want(0.75, 0.3333, 1.0)[1]) > 1e-2);  // twin
}

TEST_CASE("draw: extremes", "[router][sampled]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(drawn({nan, nan, nan}, 2, 0.1f, 0).size() == 1);  // passed on, not lost
  CHECK(drawn({-inf, -inf}, 1, 0.1f, 0).empty());
  CHECK(drawn({-inf, 2.0}, 2, 0.1f, 0) == Ids{1});  // fewer are allowed
  CHECK(drawn({4.0}, 1, 0.1f, 0) == Ids{0});
  check_figures(multipliers(weigh::Midpoint{}, {4.0}, {0}, 0), {1.0});
  check_figures(pulled(weigh::Midpoint{}, {4.0}, {0}, {3.0}), {0.0});
  CHECK_THROWS_AS((select::Draw{0.1f, 3}).check({1, 8, 1}), value_error);
  CHECK_THROWS_AS((select::Draw{-0.1f, 1}).check({1, 8, 1}), value_error);
  using R = Router<gate::Linear, score::Identity, select::Draw, weigh::Heun>;
  CHECK(tests::message_of<value_error>([] {
          R{{}, {}, {0.1f, 2}, {0.2f}}.check({1, 8, 1});
        }) ==
        "xmoe::Router: the margin of select::Draw is 0.1, that of its weights 0.2: must be equal");
}

}  // namespace
}  // namespace xmoe
