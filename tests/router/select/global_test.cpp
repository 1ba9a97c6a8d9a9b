// SPDX-License-Identifier: Apache-2.0
#include <xmoe/router/select/global.hpp>

#include "golden/xmoe_cases.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"

namespace xmoe {
namespace {

using select::Global;
using tests::experts_by;
using tests::Lists;
using tests::ScoreBatch;

/// Half softmax, half sigmoid.
template <class R>
ScoreBatch<R> blended(const reference::Matrix& z) {
  ScoreBatch<R> batch = tests::softmax_batch<R>(z);
  for (std::size_t i = 0; i < batch.scores.size(); ++i) {
    batch.scores[i] =
        R(0.5) * batch.scores[i] + math::sigmoid(batch.logits[i]) / static_cast<R>(batch.experts);
  }
  return batch;
}

/// The choice by sorting all pairs of every sequence.
template <class R>
Lists by_sorting(const Global& select, const ScoreBatch<R>& batch) {
  Lists lists(static_cast<std::size_t>(batch.tokens()));
  const index length = select.sequence == 0 ? batch.tokens() : select.sequence;
  for (index first = 0; first < batch.tokens(); first += length) {
    std::vector<std::tuple<double, index, index>> pairs;
    index valid = 0;
    for (index t = first; t < std::min(first + length, batch.tokens()); ++t) {
      valid += batch.is_valid(t) ? 1 : 0;
      for (index e = 0; e < batch.experts; ++e) {
        if (batch.is_valid(t) && !batch.masked(t, e)) {
          pairs.emplace_back(-static_cast<double>(batch.score(t, e)), t, e);
        }
      }
    }
    std::sort(pairs.begin(), pairs.end());
    for (std::size_t i = 0; i < pairs.size() && i < static_cast<std::size_t>(select.k * valid);
         ++i) {  // descending overall, hence within a token
      lists[static_cast<std::size_t>(std::get<1>(pairs[i]))].push_back(std::get<2>(pairs[i]));
    }
  }
  return lists;
}

TEMPLATE_TEST_CASE("global: published figures", "[router][select]", float, double) {
  using R = TestType;
  const auto batch = blended<R>(golden::wave_logits(4, 8));
  const Lists got = experts_by(Global{.k = 2}, batch);
  CHECK(got == Lists{{1}, {0, 3, 5}, {7, 0}, {2, 6}});
  CHECK(got == by_sorting(Global{.k = 2}, batch));
  // token, expert, score; best first
  const std::vector<std::tuple<index, index, double>> want = {
      {2, 7, .38878923}, {3, 2, .36801082}, {3, 6, .34320395}, {0, 1, .30272526},
      {1, 0, .23471648}, {1, 3, .22750537}, {2, 0, .20101081}, {1, 5, .19306067}};
  for (const auto& [t, e, w] : want) {
    CHECK(std::abs(static_cast<double>(batch.score(t, e)) - w) < (sizeof(R) == 8 ? 1e-8 : 1e-6));
  }
  CHECK(experts_by(Global{.k = 1}, batch) == Lists{{1}, {}, {7}, {2, 6}});  // the first four
  // Sequences of one token: the top of every row. Softmax alone chooses (0,2) in place of (1,5).
  const Lists rows = {{1, 2}, {0, 3}, {7, 0}, {2, 6}};
  CHECK(experts_by(Global{.k = 2, .sequence = 1}, batch) == rows);
  CHECK(experts_by(Global{.k = 2}, tests::softmax_batch<R>(golden::wave_logits(4, 8))) == rows);
}

TEMPLATE_TEST_CASE("global: ties, the lower token, then the lower expert", "[router][select]",
                   float, double) {
  using R = TestType;
  const ScoreBatch<R> flat{3, std::vector<R>(12, R(0.5))};
  CHECK(experts_by(Global{.k = 1}, flat) == Lists{{0, 1, 2}, {0}, {}, {}});
  CHECK(experts_by(Global{.k = 2}, flat) == Lists{{0, 1, 2}, {0, 1, 2}, {0, 1}, {}});
  CHECK(experts_by(Global{.k = 3}, flat) == Lists{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}, {0, 1, 2}});
  CHECK(experts_by(Global{.k = 1, .sequence = 3}, flat) == Lists{{0, 1, 2}, {}, {}, {0}});
  const ScoreBatch<R> zeros{2, {R(0), -R(0), R(0), -R(0)}};
  CHECK(experts_by(Global{.k = 1}, zeros) == Lists{{0, 1}, {}});
}

TEMPLATE_TEST_CASE("global: as by sorting, for any threads", "[router][select]", float, double) {
  using R = TestType;
  tests::Generator random(41);
  for (const index experts : {1, 3, 8, 60}) {
    for (const index tokens : {1, 7, 40, 101}) {
      auto batch = tests::softmax_batch<R>(tests::normal_matrix(random, tokens, experts));
      for (std::size_t i = 0; i < batch.scores.size(); ++i) {
        R& v = batch.scores[i];
        v = i % 3 == 0 ? std::round(v * R(64)) / R(64) : v - R(0.03);  // ties, negative ones
        if (random.below(10) == 0) {
          batch.logits[i] = -std::numeric_limits<R>::infinity();
        }
      }
      for (index t = 0; t < tokens; ++t) {
        batch.valid.push_back(random.below(6) == 0 ? 0 : 1);
      }
      for (const index sequence : {0, 1, 13}) {
        const Global select{.k = std::min<index>(2, experts), .sequence = sequence};
        INFO("seed 41, " << tokens << " tokens, " << experts << " experts, sequence " << sequence);
        const Lists got = experts_by(select, batch, {.threads = 1});
        CHECK(got == by_sorting(select, batch));
        for (const index threads : {2, 3, 8}) {
          CHECK(experts_by(select, batch, {.threads = threads}) == got);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("global: masks, padding, NaN, nothing", "[router][select]", float, double) {
  using R = TestType;
  const R inf = std::numeric_limits<R>::infinity();
  const R nan = std::numeric_limits<R>::quiet_NaN();
  const ScoreBatch<R> batch{
      2, {3, 1, 9, 9, nan, nan, 2, 4}, {0, 0, 0, 0, 0, 0, 0, -inf}, {1, 0, 1, 1}};
  CHECK(experts_by(Global{.k = 1}, batch) == Lists{{0, 1}, {}, {}, {0}});
  CHECK(experts_by(Global{.k = 2}, batch) == Lists{{0, 1}, {}, {0, 1}, {0}});  // NaN last
  const ScoreBatch<R> none{2, {1, 1, 1, 1}, {-inf, -inf, -inf, -inf}};
  CHECK(experts_by(Global{}, none) == Lists{{}, {}});
  CHECK(experts_by(Global{}, ScoreBatch<R>{2, {}}).empty());
  CHECK(experts_by(Global{}, ScoreBatch<R>{2, {1, 2}, {1, 2}, {0}}) == Lists{{}});
}

TEST_CASE("global: room and errors", "[router][select]") {
  CHECK(Global{.k = 3}.max_assignments(5, 8) == 15);
  CHECK(Global{.k = 3}.max_assignments(5, 2) == 10);
  const auto text = [](Global select) {
    return tests::message_of<value_error>([&] { select.check({8, 4, 4}); });
  };
  CHECK(text({.k = 5}) ==
        "xmoe::select::Global: k is 5, sequence is 0; k must be in 1 .. 4 (experts), sequence 0 or "
        "more");
  CHECK(text({.k = 0}).find("k is 0") != std::string::npos);
  CHECK(text({.sequence = -1}).find("sequence is -1") != std::string::npos);
  CHECK(text({}).empty());
}

}  // namespace
}  // namespace xmoe
