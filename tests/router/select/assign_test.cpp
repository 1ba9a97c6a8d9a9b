// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/assign.hpp>

#include <set>

#include "golden/xmoe_cases.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using reference::Matrix;
using select::Assign;
using tests::experts_by;
using tests::Lists;
using tests::ScoreBatch;
using tests::tokens_by_expert;
using Ids = std::vector<index>;

/// Largest sum over all ways to give every row of a square matrix another column: shortest
/// augmenting paths with potentials.
double best_matching(const Matrix& value) {
  const auto n = static_cast<std::size_t>(value.rows);
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> u(n + 1), v(n + 1);
  std::vector<std::size_t> row_of(n + 1, 0), way(n + 1, 0);
  for (std::size_t i = 1; i <= n; ++i) {
    row_of[0] = i;
    std::size_t column = 0;
    std::vector<double> least(n + 1, infinity);
    std::vector<bool> used(n + 1, false);
    do {
      used[column] = true;
      const std::size_t row = row_of[column];
      std::size_t next = 0;
      double delta = infinity;
      for (std::size_t j = 1; j <= n; ++j) {
        if (!used[j]) {
          const double cost =
              -value(static_cast<index>(row - 1), static_cast<index>(j - 1)) - u[row] - v[j];
          if (cost < least[j]) {
            least[j] = cost;
            way[j] = column;
          }
          if (least[j] < delta) {
            delta = least[j];
            next = j;
          }
        }
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (used[j]) {
          u[row_of[j]] += delta;
          v[j] -= delta;
        } else {
          least[j] -= delta;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    for (; column != 0; column = way[column]) {
      row_of[column] = row_of[way[column]];
    }
  }
  double sum = 0.0;
  for (std::size_t j = 1; j <= n; ++j) {
    sum += value(static_cast<index>(row_of[j] - 1), static_cast<index>(j - 1));
  }
  return sum;
}
/// The largest sum with floor or ceil shares: a column for every place, and rows of zeros that may
/// only take the last place of an expert.
double best_total(const Matrix& z) {
  const index share = (z.rows + z.cols - 1) / z.cols;
  Matrix square(share * z.cols, share * z.cols);
  for (index i = 0; i < square.rows; ++i) {
    for (index j = 0; j < square.cols; ++j) {
      const bool last = j % share == share - 1;
      square(i, j) = i < z.rows ? z(i, j / share) : (last ? 0.0 : -1e6);
    }
  }
  return best_matching(square);
}
double total(const Matrix& z, const Lists& lists) {
  double sum = 0.0;
  for (std::size_t t = 0; t < lists.size(); ++t) {
    for (const index e : lists[t]) {
      sum += z(static_cast<index>(t), e);
    }
  }
  return sum;
}
void check_shares(const Lists& lists, index experts) {
  const index tokens = static_cast<index>(lists.size());
  for (const auto& list : lists) {
    CHECK(list.size() == 1);
  }
  for (const auto& list : tokens_by_expert(lists, experts)) {
    const index load = static_cast<index>(list.size());
    CHECK((load == tokens / experts || load == (tokens + experts - 1) / experts));
  }
}

TEST_CASE("assign: the exact solver of these tests, by all permutations", "[router][select]") {
  tests::Generator random(50);
  for (index n = 1; n <= 6; ++n) {
    const Matrix z = tests::normal_matrix(random, n, n);
    Ids order;
    for (index i = 0; i < n; ++i) {
      order.push_back(i);
    }
    double best = -1e9;
    do {
      double sum = 0.0;
      for (index i = 0; i < n; ++i) {
        sum += z(i, order[static_cast<std::size_t>(i)]);
      }
      best = std::max(best, sum);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(std::abs(best - best_matching(z)) < 1e-12);
  }
}

TEMPLATE_TEST_CASE("assign: published figures", "[router][select]", float, double) {
  using R = TestType;
  const Matrix z = golden::wave_logits(16, 8);
  const auto batch = tests::score_batch<R>(z);
  const Lists got = experts_by(Assign{}, batch);
  const Ids want = {1, 3, 7, 2, 3, 1, 0, 4, 6, 7, 4, 0, 5, 6, 2, 5};
  for (std::size_t t = 0; t < want.size(); ++t) {
    CHECK(got[t] == Ids{want[t]});
  }
  CHECK(std::abs(total(z, got) - 36.02484070) < 1e-8);
  CHECK(std::abs(best_total(z) - 36.02484070) < 1e-8);
  check_shares(got, 8);
  // A coarse auction may miss it, but not by more than it says.
  for (const float eps : {0.02f, 0.1f, 0.5f, 2.f}) {
    const Lists coarse = experts_by(Assign{.eps = eps}, batch);
    check_shares(coarse, 8);
    CHECK(total(z, coarse) >= 36.02484070 - 16.0 * static_cast<double>(eps));
    CHECK(total(z, coarse) <= 36.02484071);
  }
  // In inference the best of every row: more, and unbalanced; balanced if asked for.
  const Lists greedy = experts_by(Assign{}, batch, {.mode = Mode::infer});
  CHECK(std::abs(total(z, greedy) - 37.23806565) < 1e-8);
  CHECK(experts_by(Assign{.balanced_in_inference = true}, batch, {.mode = Mode::infer}) == got);
  const Matrix more = golden::wave_logits(32, 8);
  const Lists both = experts_by(Assign{}, tests::score_batch<R>(more));
  CHECK(std::abs(total(more, both) - 71.57779384) < 1e-8);
  CHECK(std::abs(best_total(more) - 71.57779384) < 1e-8);
  check_shares(both, 8);
}

TEMPLATE_TEST_CASE("assign: integer scores exactly, any shares, any threads", "[router][select]",
                   float, double) {
  using R = TestType;
  tests::Generator random(51);
  index greedy_differs = 0;
  for (const index experts : {1, 2, 3, 5, 8}) {
    for (index tokens = 1; tokens <= 25; tokens += tokens < 10 ? 1 : 5) {
      Matrix z(tokens, experts);
      for (double& v : z.values) {
        v = static_cast<double>(random.below(7)) - 3.0;
      }
      const auto batch = tests::score_batch<R>(z);
      INFO("seed 51, " << tokens << " tokens, " << experts << " experts");
      const Lists got = experts_by(Assign{.eps = 0.03f}, batch, {.threads = 1});  // 32 * .03 < 1
      check_shares(got, experts);
      CHECK(total(z, got) == best_total(z));
      for (const index threads : {2, 3, 8}) {
        CHECK(experts_by(Assign{.eps = 0.03f}, batch, {.threads = threads}) == got);
      }
      const Lists greedy = experts_by(Assign{}, batch, {.mode = Mode::infer});
      greedy_differs += total(z, greedy) != total(z, got) ? 1 : 0;
    }
  }
  CHECK(greedy_differs > 20);
}

TEST_CASE("assign: the bound on real scores", "[router][select]") {
  tests::Generator random(52);
  for (int i = 0; i < 12; ++i) {
    const index tokens = 1 + random.below(60), experts = 2 + random.below(7);
    const Matrix z = tests::normal_matrix(random, tokens, experts, i % 2 == 0 ? 1.0 : 30.0);
    const index persons = (tokens + experts - 1) / experts * experts;
    INFO("seed 52, case " << i << ", " << tokens << " tokens, " << experts << " experts");
    for (const double eps : {1e-6, 1e-3, 0.3}) {
      const Lists got =
          experts_by(Assign{.eps = static_cast<float>(eps)}, tests::score_batch<double>(z));
      check_shares(got, experts);
      CHECK(total(z, got) >= best_total(z) - static_cast<double>(persons) * eps * 1.0001);
      CHECK(total(z, got) <= best_total(z) + 1e-9);
    }
  }
}

TEMPLATE_TEST_CASE("assign: equal scores, runs of tokens", "[router][select]", float, double) {
  using R = TestType;
  const ScoreBatch<R> flat{3, std::vector<R>(24, R(0.5))};
  CHECK(experts_by(Assign{}, flat) == Lists{{0}, {0}, {0}, {1}, {1}, {1}, {2}, {2}});
  CHECK(experts_by(Assign{}, flat, {.mode = Mode::infer}) == Lists(8, Ids{0}));
}

TEMPLATE_TEST_CASE("assign: fights for few places end", "[router][select]", float, double) {
  using R = TestType;
  // Nobody wants expert 7; the others are alike: prices rise by eps alone.
  ScoreBatch<R> batch{8, {}};
  for (index i = 0; i < 64 * 8; ++i) {
    batch.scores.push_back(i % 8 == 7 ? R(-1000) : R(1));
  }
  batch.logits = batch.scores;
  check_shares(experts_by(Assign{.eps = 1e-4f}, batch), 8);
  for (const R big : {R(1e30), std::numeric_limits<R>::max(), std::numeric_limits<R>::min()}) {
    for (std::size_t i = 0; i < batch.scores.size(); ++i) {
      batch.scores[i] = (i * 7 % 5 == 0 ? -big : big) * R(0.9);
    }
    batch.logits = batch.scores;
    check_shares(experts_by(Assign{}, batch), 8);
  }
}

TEMPLATE_TEST_CASE("assign: masks, padding, NaN", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  // Expert 2 is closed, token 1 padding, token 2 has no expert left: four tokens on two experts.
  const ScoreBatch<R> batch{
      3,
      {5, 1, 9, 9, 9, 9, 1, 1, 1, 4, 1, 9, 3, 1, 9, 2, 1, 9},
      {0, 0, -inf, 0, 0, 0, -inf, -inf, -inf, 0, 0, -inf, 0, 0, -inf, 0, 0, -inf},
      {1, 0, 1, 1, 1, 1}};
  CHECK(experts_by(Assign{}, batch) == Lists{{0}, {}, {}, {0}, {1}, {1}});
  CHECK(experts_by(Assign{}, batch, {.mode = Mode::infer}) == Lists{{0}, {}, {}, {0}, {0}, {0}});
  // Three tokens that may take one expert alone, and one that may take both: at most two fit.
  const ScoreBatch<R> tight{2, {1, -inf, 2, -inf, 3, -inf, 100, 0}};
  const Lists got = experts_by(Assign{}, tight);
  CHECK(got == Lists{{}, {0}, {0}, {1}});  // few without an expert comes before the sum
  // NaN counts as the lowest, +Inf as the highest finite score.
  const ScoreBatch<R> odd{2, {nan, 1, 0, nan, inf, 3, 3, 3}};
  CHECK(experts_by(Assign{}, odd) == Lists{{1}, {0}, {0}, {1}});
  CHECK(experts_by(Assign{}, ScoreBatch<R>{2, {nan, nan, inf, nan}}).size() == 2);
  CHECK(experts_by(Assign{}, ScoreBatch<R>{2, {-inf, -inf}}) == Lists{{}});
  CHECK(experts_by(Assign{}, ScoreBatch<R>{2, {}}).empty());
  CHECK(experts_by(Assign{}, ScoreBatch<R>{4, {1, 3, 3, 2}}) == Lists{{1}});  // T = 1: the best
}

TEST_CASE("assign: errors", "[router][select]") {
  const auto text = [](float eps) {
    return tests::message_of<value_error>([&] { Assign{.eps = eps}.check({8, 4, 4}); });
  };
  CHECK(text(0.f) == "xmoe::select::Assign: eps is 0, must be above 0");
  CHECK(text(std::numeric_limits<float>::quiet_NaN()).find("nan") != std::string::npos);
  CHECK(text(1e-3f).empty());
}

}  // namespace
}  // namespace xmoe
